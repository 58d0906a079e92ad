"""Which route a request takes, what path is sent for it, and why (no I/O)."""
