"""The policies between a route and its cluster: each is one file, a frozen value with `wrap`."""
