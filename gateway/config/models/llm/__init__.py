"""models.yaml: providers of models, and which requests go to which of them."""
