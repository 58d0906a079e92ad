"""A self-hosted API gateway: three YAML files in, HTTP out, and a reason for every decision."""
