"""The four files, from their bytes to one Configuration, or to every error in them with its place.

`load.py` puts the steps together: `yaml/` reads a file into a tree that knows its lines, `models/` says what may stand
in it (made of the kinds of value in `values/`), and `checks/` what several keys together show.
"""
