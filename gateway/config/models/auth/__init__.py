"""What auth.yaml may say, one file for each kind of scheme."""
