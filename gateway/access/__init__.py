"""Who may not call: entries of the blocklist, from where they come, and where they are kept."""
