"""What ``bench.py`` compares: one file a comparison, each with a function ``comparisons``."""
