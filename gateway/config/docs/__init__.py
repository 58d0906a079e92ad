"""What people and editors read about the four files, made of the models."""
