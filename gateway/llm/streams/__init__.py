"""What the streams and answers of providers say: one reader for each protocol."""
