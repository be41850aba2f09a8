"""Section 2: settings, Start, and the training that is shown."""
