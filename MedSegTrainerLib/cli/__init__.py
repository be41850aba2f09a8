"""The commands of the command line, those of one sort a file; ``cli.py`` puts them together."""
