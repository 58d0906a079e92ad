"""Alerts to people: rules over figures and over what the gateway knows of itself, and where it is sent."""
