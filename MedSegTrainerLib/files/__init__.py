"""Text that somebody else wrote, read within limits, and tables for others to read."""
