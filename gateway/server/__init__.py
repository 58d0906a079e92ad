"""Running the gateway: client connections, signals, drain."""
