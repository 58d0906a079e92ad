"""What the traffic looks like to those who run the gateway."""
