"""The page for Prometheus, in each of the forms that it understands."""
