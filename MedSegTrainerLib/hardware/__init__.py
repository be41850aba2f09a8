"""Devices, their memory, and processes that train together."""
