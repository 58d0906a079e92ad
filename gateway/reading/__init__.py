"""Whether clients read what is written to them."""
