"""The commands of the command line, those of one sort a file; ``main.py`` puts them together."""
