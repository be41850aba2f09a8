"""What cases are like, and what is wrong with them."""
