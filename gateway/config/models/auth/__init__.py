"""The models of auth.yaml, one file for each kind of scheme."""
