"""Section 3: applying a model, and its results."""
