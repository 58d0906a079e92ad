"""What the gateway asks beside backends: Redis, servers over HTTP, SQLite files; and what it does while they fail."""
