"""Importing this makes ``MedSegTrainerLib`` importable: it lies beside the module, or in the root of a checkout."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def add_library() -> None:
    """Appends the root of a source checkout to ``sys.path`` where the library is not found without it."""
    if importlib.util.find_spec("MedSegTrainerLib") is None:
        sys.path.append(str(Path(__file__).resolve().parents[2]))


add_library()
