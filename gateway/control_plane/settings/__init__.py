"""The settings in `control-plane.yaml`."""
