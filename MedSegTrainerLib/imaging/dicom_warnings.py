"""Warnings of pydicom and highdicom, kept quiet: they repeat values of the file, such as what the patient is called."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.config import disable_value_validation


@contextmanager
def quiet_dicom() -> Iterator[None]:
    """Values that break a rule of DICOM, as many archives hold them, are read and written as they are."""
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        yield
