"""The weights of an nnU-Net model as this program's networks have them, fold by fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.nnunet_checkpoint import NnunetCheckpoint, checkpoint_of, loaded
from MedSegTrainerLib.model.nnunet_folder import NnunetFolder, document_of, read_checkpoint, refused
from MedSegTrainerLib.model.nnunet_tensors import from_nnunet
from MedSegTrainerLib.model.weights_file import refuse_insane
from MedSegTrainerLib.networks.state_shapes import state_shapes

SMALLEST_NUMBER = 2  # bytes of a weight in a file


@dataclass(frozen=True, kw_only=True)
class LoadedFolds:
    """document: as ``model.json`` would hold it. plan: of each fold. weights: of each fold, by our names."""

    document: dict[str, Any]
    plan: Plan
    weights: list[dict[str, torch.Tensor]]


def load_folds(folder: NnunetFolder) -> LoadedFolds:
    """All folds of a model; raises ModelError where it cannot be used, with the reason."""
    found: LoadedFolds | None = None
    first: NnunetCheckpoint | None = None
    for name in folder.folds.values():
        
        def work(stream: IO[bytes], size: int) -> None:
            ...
