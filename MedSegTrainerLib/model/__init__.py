"""A trained model as files: its description, weights and card, and how it is read again."""
