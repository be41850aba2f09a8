"""The result of a prediction as it grows, a few planes after the other: label map, and maps beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch.nn import functional

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.class_bits import class_bit
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.ensemble import InputKey
from MedSegTrainerLib.inference.probability_maps import MapSelection, Prediction, ProbabilitySpool

NO_NUMBERS = (
    "The network's result is no number at some voxels, and no label map was written. Its weights or the intensities of "
    "the image are far out of range: copy the model again, and compare the image with those it was trained on."
)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An image as the networks see it: float32 (channels, z, y, x) by ``preparation_key``; the grid it came on, and the
    same grid with canonical axes, in the order of the plan."""

    images: dict[InputKey, np.ndarray]
    original: Geometry
    canonical: Geometry


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
        self.prepared, self.count, self.maps = prepared, len(values), maps
        shape = prepared.canonical.size_zyx
        self.labels = np.zeros(shape, self.values.dtype)
        self.entropy = np.zeros(shape, np.float16) if maps.uncertainty else None
        self.std = np.zeros(shape, np.float16) if with_variance else None
        self.spool = None
        if maps.probabilities and spool is not None:
            self.spool = ProbabilitySpool(len(classes), shape, spool)

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
        if self.entropy is not None:
            entropy = -(p * logs).sum(dim=0) / float(np.log(self.count))
            self.entropy[planes] = entropy.clamp(0, 1).cpu().numpy()
        if self.std is not None:
            self.std[planes] = result[self.count].clamp(0, 1).sqrt().cpu().numpy()
        if self.spool is not None:
            self.spool.write(first, p[1:].cpu().numpy())

    def prediction(self) -> Prediction:
        return _finished(self)


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
        self.prepared, self.count, self.maps = prepared, len(classes), maps
        shape = prepared.canonical.size_zyx
        self.labels = np.zeros(shape, np.int32)
        self.entropy = np.zeros(shape, np.float16) if maps.uncertainty else None
        self.std = np.zeros(shape, np.float16) if with_variance else None
        self.spool = None
        if maps.probabilities and spool is not None:
            self.spool = ProbabilitySpool(len(classes), shape, spool)

    def add(self, first: int, result: torch.Tensor) -> None:
        """Logits (classes, planes, y, x), with the variance as a last channel where maps need it."""
        logits, planes = result[: self.count], slice(first, first + result.shape[1])
        if not torch.isfinite(logits).all():
            raise DataError(NO_NUMBERS)
        for index, of_class in enumerate(logits, start=1):
            self.labels[planes] += (of_class > 0).cpu().numpy() * np.int32(class_bit(index))
        if not self.maps.any:
            return
        p = torch.sigmoid(logits)
        if self.entropy is not None:
            both = p * functional.logsigmoid(logits) + (1 - p) * functional.logsigmoid(-logits)
            self.entropy[planes] = (-both.amin(dim=0) / math.log(2)).clamp(0, 1).cpu().numpy()
        if self.std is not None:
            self.std[planes] = result[self.count].clamp(0, 1).sqrt().cpu().numpy()
        if self.spool is not None:
            self.spool.write(first, p.cpu().numpy())

    def prediction(self) -> Prediction:
        return _finished(self)


def _finished(canvas: Canvas | OverlappingCanvas) -> Prediction:
    to_image = partial(_onto_original, prepared=canvas.prepared)
    return Prediction(
        labels=to_image(canvas.labels),
        to_image=to_image,
        entropy=canvas.entropy,
        std=canvas.std,
        probabilities=canvas.spool,
    )


def _onto_original(array: np.ndarray, *, prepared: Prepared) -> sitk.Image:
    """Canonical axes back to those of the image, with its geometry to the last digit."""
    original = prepared.original
    turned = sitk.DICOMOrient(prepared.canonical.place(array), original.orientation())
    if turned.GetSize() != original.size:
        msg = f"The result has size {turned.GetSize()}, the image {original.size}"
        raise AssertionError(msg)
    turned.SetSpacing(original.spacing)
    turned.SetOrigin(original.origin)
    turned.SetDirection(original.direction)
    return turned
