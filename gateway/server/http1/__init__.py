"""HTTP/1.1 as the server speaks it (RFC 9112)."""
