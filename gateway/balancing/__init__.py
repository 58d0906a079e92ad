"""Which endpoint of a cluster is next."""
