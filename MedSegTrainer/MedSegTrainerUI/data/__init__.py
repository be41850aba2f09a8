"""Section 1: volumes, segmentations and classes to train on."""
