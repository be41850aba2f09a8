"""The loop of steps, validations and checkpoints, and what decides within it."""
