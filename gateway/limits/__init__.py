"""How much: rate limits, quotas, and the stores that count for them."""
