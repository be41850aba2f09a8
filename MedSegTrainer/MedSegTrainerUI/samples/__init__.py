"""Volumes to try the module with."""
