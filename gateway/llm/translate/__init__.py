"""Requests and answers of one model API as those of another, where a provider does not have the client's."""
