"""Train, apply and evaluate segmentation networks on medical volumes."""

__version__ = "0.1.0"
