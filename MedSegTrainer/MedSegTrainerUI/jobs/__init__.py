"""Job folders as the panel follows, lists and removes them."""
