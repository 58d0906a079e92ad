"""The HTTP API: one router for each kind of object; table.py lists them."""
