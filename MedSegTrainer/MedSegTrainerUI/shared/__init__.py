"""Parts of the panel that several sections use."""
