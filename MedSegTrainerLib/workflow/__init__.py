"""Documents of nodes, and settings in files that people paste."""
