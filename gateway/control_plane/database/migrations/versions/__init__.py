"""One file for each step, in one line. A step that was released is not changed any more."""
