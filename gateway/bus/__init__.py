"""The way of messages between the four roles: in this process, or over Redis to others."""
