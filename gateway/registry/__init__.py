"""Where the endpoints of a service come from: one file for each kind of source, all of one shape (source.py)."""
