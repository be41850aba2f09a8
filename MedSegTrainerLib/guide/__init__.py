"""The training guide's tables, and its advice on curves."""
