"""From an image and a model to a label map: windows, ensembles, mirroring, clean-up."""
