"""Where alerts are sent: one file for each kind, and the table of them."""
