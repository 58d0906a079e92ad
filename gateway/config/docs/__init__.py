"""What people and editors read about the three files, made of the models."""
