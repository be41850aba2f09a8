"""Predictions against references: pairs of files, tables, and which of two evaluations is better."""
