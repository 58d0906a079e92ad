"""Arithmetic of limits and balancing: standard library only, and `now` is always an argument."""
