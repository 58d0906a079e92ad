"""Configurations of other gateways as ours: read into one description, put into our order, written with a report."""
