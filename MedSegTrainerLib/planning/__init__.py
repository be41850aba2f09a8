"""Every decision that a training needs, made from the data, the device and the time."""
