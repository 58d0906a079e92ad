"""`gateway test`: requests, and what should become of them, held against a configuration; nothing is sent anywhere."""
