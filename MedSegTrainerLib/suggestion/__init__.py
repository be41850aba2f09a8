"""Which slices of which images should be drawn next."""
