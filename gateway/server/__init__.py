"""Running the gateway: the HTTP protocol class for uvicorn, signals, drain."""
