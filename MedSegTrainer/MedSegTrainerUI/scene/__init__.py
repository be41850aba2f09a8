"""What of the scene is read for a training, and what a result becomes in it."""
