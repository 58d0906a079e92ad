"""The admin port: who may use it, what it shows and changes, and the commands that ask it."""
