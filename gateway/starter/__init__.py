"""`gateway init`: the first files of a configuration, with comments that say what else they may hold."""
