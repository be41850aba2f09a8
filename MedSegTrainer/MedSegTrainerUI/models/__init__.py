"""Trained models: what there is to choose from, and what each of them is."""
