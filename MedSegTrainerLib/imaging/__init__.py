"""Volumes and label maps in files: formats, geometry, and what can be wrong with either."""
