"""The way to the backends: which endpoint, which connection, and HTTP/1.1 over it."""
