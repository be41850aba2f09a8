"""The result of a prediction as it grows, a few planes after the other: label map, and maps beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.samples.arrangement import Arrangement
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.class_bits import class_bit
from MedSegTrainerLib.inference.ensemble import InputKey
from MedSegTrainerLib.inference.probability_maps import MapSelection, Prediction, ProbabilitySpool
from MedSegTrainerLib.inference.slice_sums import SliceSums

NO_NUMBERS = (
    "The network's result is no number at some voxels, and no label map was written. Its weights or the intensities of "
    "the image are far out of range: copy the model again, and compare the image with those it was trained on."
)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An image as the networks see it: float32 (channels, z, y, x) by ``preparation_key``; and how it lies."""

    images: dict[InputKey, np.ndarray]
    arrangement: Arrangement


class Canvas:
    """Takes the result of a few planes after the other; of all classes it never holds more."""

    def __init__(
        self,
        prepared: Prepared,
        classes: Sequence[LabelClass],
        maps: MapSelection,
        *,
        with_variance: bool,
        spool: Path | None,
    ) -> None:
        values = [0, *(item.value for item in classes)]
        self.values = np.array(values, np.result_type(*map(np.min_scalar_type, values)))
        self.count, self.maps = len(values), maps
        self.labels = np.zeros(prepared.arrangement.region.size_zyx, self.values.dtype)
        self.beside = _MapsBeside(prepared, len(classes), maps, with_variance=with_variance, spool=spool)

    def add(self, first: int, result: torch.Tensor) -> None:
        """Logits (classes, planes, y, x), background first, with the variance as a last channel where maps need it."""
        logits, planes = result[: self.count], slice(first, first + result.shape[1])
        highest = logits.max(dim=0)  # argmax over the first axis takes ten times as long on a CPU
        if not torch.isfinite(highest.values).all():
            raise DataError(NO_NUMBERS)
        self.labels[planes] = self.values[highest.indices.cpu().numpy()]
        if not self.maps.any:
            return
        logs = functional.log_softmax(logits, dim=0)
        p = logs.exp()
        entropy = -(p * logs).sum(dim=0) / float(np.log(self.count)) if self.maps.uncertainty else None
        self.beside.add(first, p[1:], entropy, result[self.count :])

    def prediction(self) -> Prediction:
        return self.beside.prediction(self.labels)


class OverlappingCanvas:
    """As ``Canvas``, for classes that overlap: logits are those of a sigmoid each, a class is there above 0, and the
    label map holds ``class_bits``. The entropy is the largest of any class with its opposite."""

    def __init__(
        self,
        prepared: Prepared,
        classes: Sequence[LabelClass],
        maps: MapSelection,
        *,
        with_variance: bool,
        spool: Path | None,
    ) -> None:
        self.count, self.maps = len(classes), maps
        self.labels = np.zeros(prepared.arrangement.region.size_zyx, np.int32)
        self.beside = _MapsBeside(prepared, len(classes), maps, with_variance=with_variance, spool=spool)

    def add(self, first: int, result: torch.Tensor) -> None:
        """Logits (classes, planes, y, x), with the variance as a last channel where maps need it."""
        logits, planes = result[: self.count], slice(first, first + result.shape[1])
        if not torch.isfinite(logits).all():
            raise DataError(NO_NUMBERS)
        for index, of_class in enumerate(logits, start=1):
            self.labels[planes] += (of_class > 0).cpu().numpy() * np.int32(class_bit(index))
        if not self.maps.any:
            return
        p, entropy = torch.sigmoid(logits), None
        if self.maps.uncertainty:
            both = p * functional.logsigmoid(logits) + (1 - p) * functional.logsigmoid(-logits)
            entropy = -both.amin(dim=0) / math.log(2)
        self.beside.add(first, p, entropy, result[self.count :])

    def prediction(self) -> Prediction:
        return self.beside.prediction(self.labels)


class _MapsBeside:
    """Uncertainty, probabilities and sums over slices, as far as they are wanted."""

    def __init__(
        self, prepared: Prepared, classes: int, maps: MapSelection, *, with_variance: bool, spool: Path | None
    ) -> None:
        self.arrangement, shape = prepared.arrangement, prepared.arrangement.region.size_zyx
        self.entropy = np.zeros(shape, np.float16) if maps.uncertainty else None
        self.std = np.zeros(shape, np.float16) if with_variance else None
        self.slice_sums = SliceSums(classes, shape) if maps.slice_sums else None
        self.spool = None
        if maps.probabilities and spool is not None:
            self.spool = ProbabilitySpool(classes, shape, spool)

    def add(self, first: int, p: torch.Tensor, entropy: torch.Tensor | None, variance: torch.Tensor) -> None:
        """Probabilities (classes, planes, y, x) without background; entropy (planes, y, x); variance (1 or 0, ...)."""
        planes = slice(first, first + p.shape[1])
        if self.entropy is not None and entropy is not None:
            self.entropy[planes] = entropy.clamp(0, 1).cpu().numpy()
        if self.std is not None:
            self.std[planes] = variance[0].clamp(0, 1).sqrt().cpu().numpy()
        if self.slice_sums is not None:
            self.slice_sums.add(first, p)
        if self.spool is not None:
            self.spool.write(first, p.cpu().numpy())

    def prediction(self, labels: np.ndarray) -> Prediction:
        arrangement = self.arrangement
        return Prediction(
            labels=arrangement.restored(labels), to_image=arrangement.restored, entropy=self.entropy, std=self.std,
            probabilities=self.spool,
            slice_sums=None if self.slice_sums is None else self.slice_sums.along_patient(arrangement),
        )  # fmt: skip
