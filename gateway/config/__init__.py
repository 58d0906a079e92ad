"""The three files: what they may say (`models`), and how they are read with every error at its place (`load`)."""
