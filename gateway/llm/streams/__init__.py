"""Parsers of streams and answers of providers: one for each protocol."""
