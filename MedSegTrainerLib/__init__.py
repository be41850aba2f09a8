"""Train, apply and evaluate segmentation networks on medical volumes."""

import logging

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # whoever uses the library says where its log goes
