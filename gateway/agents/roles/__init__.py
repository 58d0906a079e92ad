"""The messages of each of the four roles to its peers, and its reactions to theirs."""
