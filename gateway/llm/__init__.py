"""Requests to models: which provider answers, what it costs, and what becomes of the stream."""
