"""What a request costs: CPU time of the gateway beside nginx and a plain Python proxy, in one run."""
