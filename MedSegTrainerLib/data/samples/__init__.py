"""From prepared cases to batches: normalisation, patches, augmentation."""
