"""The kinds of value that keys have: durations, sizes, addresses, paths, points in time."""
