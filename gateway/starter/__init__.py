"""`gateway init`: the first three files of a configuration, with comments that say what else they may hold."""
