"""The panel of the module: its sections, and what they do in the scene and in other processes."""
