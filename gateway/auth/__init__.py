"""Who calls: one file for each scheme, all of one shape."""
