"""The versions of Python, of this library and of what it computes with, without loading any of it."""

from __future__ import annotations

import importlib.metadata
import platform

from MedSegTrainerLib import __version__

DISTRIBUTIONS = (
    "torch", "monai", "numpy", "scipy", "SimpleITK", "pydicom", "highdicom", "pillow", "einops", "safetensors",
    "pydantic", "typer", "rich", "jinja2", "matplotlib", "tensorboard", "onnx", "onnxruntime",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Names with their versions; what is not installed is left out."""
    installed = {"MedSegTrainer": __version__, "Python": platform.python_version(), "system": platform.platform()}
    for name in DISTRIBUTIONS:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed
