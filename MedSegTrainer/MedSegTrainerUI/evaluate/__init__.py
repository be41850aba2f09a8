"""Section 4: comparing segmentations."""
