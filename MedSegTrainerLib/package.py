"""The model package: ``model.json`` and ``weights.safetensors`` in a folder or a zip.

It rebuilds the network alone, and opening it runs no code: JSON and safetensors hold data only.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.models import build_network
from MedSegTrainerLib.plan import Plan

SCHEMA_VERSION = 1
DESCRIPTION, WEIGHTS = "model.json", "weights.safetensors"
LARGEST = {DESCRIPTION: 64 << 20, WEIGHTS: 8 << 30}  # bytes; no model comes near them, a zip bomb does


@dataclass(frozen=True, kw_only=True)
class ModelPackage:
    """A trained model. ``training`` tells how it was made, ``metrics`` how good it was on held-out cases."""

    plan: Plan
    weights: Mapping[str, torch.Tensor]
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The network with its weights, in evaluation mode; raises ModelError where they do not fit."""
        network = build_network(self.plan.architecture, self.plan.network)
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            told = str(error).splitlines()[-1].strip()
            raise ModelError(f"The weights do not fit the network {self.plan.architecture}: {told}") from None
        return network.eval()


def save_package(package: ModelPackage, folder: Path) -> None:
    """Writes weights, then description, each at once: the folder is a complete package at every moment."""
    weights = {name: value.detach().to("cpu").contiguous() for name, value in package.weights.items()}
    with atomic.storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(folder / WEIGHTS, safetensors.torch.save(weights))
    save_description(package, folder)


def save_description(package: ModelPackage, folder: Path) -> None:
    """Writes ``model.json`` alone, for new metrics of the same weights."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "made_by": f"MedSegTrainer {__version__}",
        "plan": package.plan.to_json(),
        "training": package.training,
        "metrics": package.metrics,
    }
    atomic.write_json(folder / DESCRIPTION, document)


def load_package(path: Path) -> ModelPackage:
    """A package from its folder, its zip, or the job folder that made it; raises ModelError."""
    description, weights = _read_zip(path) if path.is_file() else _read_folder(path)
    try:
        document = json.loads(description)
        version = document["schema_version"]
        if version != SCHEMA_VERSION:
            raise ModelError(f"{path} has model format {version}; this version reads {SCHEMA_VERSION}. Update one.")
        plan = Plan.from_json(document["plan"])
        tensors = safetensors.torch.load(weights)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is no model of this program: {DESCRIPTION} is damaged ({error}).") from None
    except SafetensorError as error:
        raise ModelError(f"{path}: {WEIGHTS} is damaged ({error}). Copy the model again.") from None
    return ModelPackage(
        plan=plan, weights=tensors, training=document.get("training", {}), metrics=document.get("metrics", {})
    )


def _read_folder(path: Path) -> tuple[bytes, bytes]:
    if not path.exists():
        raise ModelError(f"The model {path} does not exist. Check the path.")
    folder = path / "model" if (path / "model" / DESCRIPTION).exists() else path
    if not (folder / DESCRIPTION).exists() or not (folder / WEIGHTS).exists():
        hint = "The job has no model yet; train it first." if (path / "job.json").exists() else (
            f"A model is a folder (or zip) with {DESCRIPTION} and {WEIGHTS}, or a job folder."
        )  # fmt: skip
        raise ModelError(f"{path} holds no model. {hint}")
    return (folder / DESCRIPTION).read_bytes(), (folder / WEIGHTS).read_bytes()


def _read_zip(path: Path) -> tuple[bytes, bytes]:
    """The two members of a zip, read in memory: nothing is unpacked, whatever their paths say."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {PurePosixPath(info.filename).name: info for info in archive.infolist() if not info.is_dir()}
            if not {DESCRIPTION, WEIGHTS} <= members.keys():
                raise ModelError(f"{path} is no model: the zip lacks {DESCRIPTION} or {WEIGHTS}.")
            for name in (DESCRIPTION, WEIGHTS):
                if members[name].file_size > LARGEST[name]:
                    raise ModelError(f"{path}: {name} claims {members[name].file_size} bytes. It is not opened.")
            return archive.read(members[DESCRIPTION]), archive.read(members[WEIGHTS])
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError, OSError) as error:  # damaged or locked
        raise ModelError(
            f"{path} is no model: it cannot be read as a zip file ({error}). Give a model folder, its zip or a job."
        ) from None
