"""What stands between a route and its cluster: each middleware is one file, a frozen value with `wrap`."""
