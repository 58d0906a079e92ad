"""Storage of the control plane in PostgreSQL or SQLite."""
