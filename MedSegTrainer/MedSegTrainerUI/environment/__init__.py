"""Section 5: where PyTorch lives, how it gets there, and whether it works."""
