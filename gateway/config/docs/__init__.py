"""Documentation and JSON Schemas of the four files, generated from the models."""
