"""How cases lie in folders, and which one a folder has."""
