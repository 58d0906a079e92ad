"""External services other than backends: Redis, servers over HTTP, SQLite files; and the behaviour when they fail."""
