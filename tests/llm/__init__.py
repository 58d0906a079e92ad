"""Requests to models."""
