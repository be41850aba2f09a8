"""A trained model on an image of any geometry: a label map on exactly the image's own grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import SimpleITK as sitk
import torch

from MedSegTrainerLib.architectures import ARCHITECTURES, network_settings
from MedSegTrainerLib.data.preprocess import prepare_image
from MedSegTrainerLib.data.slices import with_neighbours
from MedSegTrainerLib.device import Precision
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.geometry import Geometry, resample, to_canonical
from MedSegTrainerLib.held_out import window_forward
from MedSegTrainerLib.package import ModelPackage
from MedSegTrainerLib.plan import Plan
from MedSegTrainerLib.sliding_window import Network, predict_volume
from MedSegTrainerLib.step import to_channels_last


class Predictor:
    """A model on a device, ready for one image after another."""

    def __init__(
        self, package: ModelPackage, device: torch.device, *, overlap: float = 0.5, mirror_axes: Sequence[int] = ()
    ) -> None:
        self.plan, self.device, self.overlap = package.plan, device, overlap
        network = package.build().to(device)
        if self.plan.channels_last:
            network = to_channels_last(network, self.plan.dims)
        forward = window_forward(network, self.plan, Precision(device, self.plan.mixed_precision))
        self.network: Network = mirrored(forward, mirror_axes) if mirror_axes else forward

    def predict(
        self, channels: Sequence[sitk.Image], on_window: Callable[[int, int], None] = lambda done, total: None
    ) -> sitk.Image:
        """The label map of an image (3D, one SimpleITK image a channel), values as in the training labels.

        Raises DataError where the image has another number of channels than the model.
        """
        expected = len(self.plan.normalization)
        if len(channels) != expected:
            names = ", ".join(self.plan.channel_names)
            raise DataError(
                f"The image has {len(channels)} channels and the model needs {expected} ({names}). "
                "Give it images with the channels it was trained on, in their order."
            )
        image, grid = prepare_image(channels, self.plan)
        logits = self._logits(image, on_window)
        canonical = Geometry.of(to_canonical(channels[0]))
        indices = _most_likely(logits, grid, canonical)
        values = np.array([0, *(item.value for item in self.plan.classes)], dtype=np.int32)
        return _onto_grid_of(canonical.place(values[indices]), channels[0])

    @torch.inference_mode()
    def _logits(self, image: np.ndarray, on_window: Callable[[int, int], None]) -> np.ndarray:
        logits = predict_volume(
            with_neighbours(torch.from_numpy(image).to(self.device), self.plan.neighbour_slices),
            self.network,
            classes=len(self.plan.classes) + 1,
            patch=self.plan.patch_size,
            divisor=self.plan.divisor,
            overlap=self.overlap,
            batch=self.plan.batch_size,
            is_fixed=ARCHITECTURES[self.plan.architecture].is_fixed,
            on_window=on_window,
        )
        return logits.float().cpu().numpy()


def mirrored(network: Network, axes: Sequence[int]) -> Network:
    """The mean over every combination of flips along ``axes`` (0 is z, 1 is y, 2 is x): test-time augmentation."""
    combinations = [c for count in range(len(axes) + 1) for c in itertools.combinations([a + 2 for a in axes], count)]

    def average(images: torch.Tensor) -> torch.Tensor:
        total = network(images).float()
        for flips in combinations[1:]:
            total = total + network(images.flip(flips)).float().flip(flips)
        return total / len(combinations)

    return average


def _most_likely(logits: np.ndarray, grid: Geometry, target: Geometry) -> np.ndarray:
    """Class index of the largest logit on the target grid, resampled class by class to spare memory."""
    if not grid.disagreements(target):
        return logits.argmax(axis=0)
    best = np.full(target.size_zyx, -np.inf, dtype=np.float32)
    indices = np.zeros(target.size_zyx, dtype=np.int16)
    for index, values in enumerate(logits):
        resampled = resample(grid.place(values), target, is_label=False)  # a view does not keep its image alive
        on_target = sitk.GetArrayViewFromImage(resampled)
        better = on_target > best
        best[better] = on_target[better]
        indices[better] = index
    return indices


def _onto_grid_of(labels: sitk.Image, image: sitk.Image) -> sitk.Image:
    """Canonical axes back to those of the image, with its geometry to the last digit."""
    original = Geometry.of(image)
    turned = sitk.DICOMOrient(labels, original.orientation())
    if turned.GetSize() != image.GetSize():
        msg = f"The label map has size {turned.GetSize()}, the image {image.GetSize()}"
        raise AssertionError(msg)
    turned.CopyInformation(image)
    return turned


def describe_plan(plan: Plan) -> dict[str, str]:
    """What a reader of a report wants to know of a model."""
    settings = network_settings(plan.architecture, plan.network)
    told = [name if value is True else f"{name} {value}" for name, value in settings.items() if value]
    z, y, x = plan.spacing
    return {
        "Network": f"{plan.architecture}, {plan.dims}D, {', '.join(told).replace('_', ' ')}",
        "Voxel size": f"{z:.3g} x {y:.3g} x {x:.3g} mm (z, y, x)",
        "Patch": " x ".join(str(n) for n in plan.patch_size) + f" voxels, batch {plan.batch_size}",
        "Intensities": plan.reasons.get("normalization", ""),
        "Loss": plan.loss.loss_type,
        "Optimizer": f"{plan.optimizer_type}, learning rate {plan.learning_rate:g}, {plan.lr_schedule}",
    }
