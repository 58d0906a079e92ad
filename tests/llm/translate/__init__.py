"""Requests and answers of one model API as those of another."""
