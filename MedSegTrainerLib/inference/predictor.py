"""Trained models on an image of any geometry: a label map on exactly the image's own grid, and maps beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from MedSegTrainerLib.config.network_settings import network_settings
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.samples.arrangement import arrangement_of
from MedSegTrainerLib.data.samples.neighbour_slices import with_neighbours
from MedSegTrainerLib.data.samples.preprocess import network_spacing, prepare_image
from MedSegTrainerLib.errors import DataError, MedSegError
from MedSegTrainerLib.hardware.memory import free_memory, is_out_of_memory
from MedSegTrainerLib.imaging.axis_resampling import LINEAR, AxisOrders, axis_orders
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.agreement import Agreement, mean_agreement
from MedSegTrainerLib.inference.canvas import Canvas, OverlappingCanvas, Prepared
from MedSegTrainerLib.inference.ensemble import averaged, combine_groups, grouped, on_device, preparation_key
from MedSegTrainerLib.inference.memory_fallback import Placement, lighter
from MedSegTrainerLib.inference.probability_maps import NO_MAPS, MapSelection, Prediction
from MedSegTrainerLib.inference.slab_resampling import onto_grid, planes_at_once
from MedSegTrainerLib.inference.sliding_window import predict_slabs
from MedSegTrainerLib.inference.tta import IDENTITY, Transform
from MedSegTrainerLib.inference.window_layout import layout_of
from MedSegTrainerLib.model.package import ModelPackage

PARTS = 1000  # of a volume, in which progress is counted where models cut different windows
CPU_VOXELS = 400_000  # of the windows that go through a network at once: it reads its weights anew for each time
OnWindow = Callable[[int, int], None]


class Predictor:
    """A model, or several that are averaged, on a device, ready for one image after another.

    transforms: what test-time augmentation averages over, too. devices: what the models that see the same windows are
    spread over, ``device`` first; without them it alone. warn: called with a message where memory ran out and
    something was made smaller, which it stays for the images to come. Raises ModelError where models do not fit
    together.
    """

    def __init__(
        self,
        packages: ModelPackage | Sequence[ModelPackage],
        device: torch.device,
        *,
        overlap: float = 0.5,
        transforms: Sequence[Transform] = (IDENTITY,),
        devices: Sequence[torch.device] = (),
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.packages = [packages] if isinstance(packages, ModelPackage) else list(packages)
        self.plan, self.overlap, self.transforms, self.warn = self.packages[0].plan, overlap, transforms, warn
        self.groups, self.devices = grouped(self.packages), [*devices] or [device]
        plans = [group[0].plan for group in self.groups]
        self.trained = tuple(replace(plan, batch_size=windows_at_once(plan, device)) for plan in plans)
        self._place_on(Placement(device=device, plans=self.trained))

    @property
    def result_count(self) -> int:
        """How many results are averaged."""
        return len(self.packages) * len(self.transforms)

    def predict(self, channels: Sequence[sitk.Image], on_window: OnWindow = lambda done, total: None) -> sitk.Image:
        """The label map of an image (3D, one SimpleITK image a channel), values as in the training labels.

        Raises DataError where the image has another number of channels than the model.
        """
        return self.segment(self.prepare(channels), on_window).labels

    def prepare(self, channels: Sequence[sitk.Image]) -> Prepared:
        """The part that needs no device; raises DataError for another number of channels than the model has."""
        self.refuse_other_channels(channels)
        plans = {preparation_key(plan): plan for plan in self.trained}
        arrangement = arrangement_of(channels, self.plan)
        images = {key: prepare_image(channels, plan, arrangement)[0] for key, plan in plans.items()}
        return Prepared(images=images, arrangement=arrangement)

    def refuse_other_channels(self, channels: Sequence[sitk.Image]) -> None:
        """Raises DataError where an image has not as many channels as the model."""
        expected = len(self.plan.normalization)
        if len(channels) != expected:
            names = ", ".join(self.plan.channel_names)
            raise DataError(
                f"The image has {len(channels)} {'channel' if len(channels) == 1 else 'channels'} and the model needs "
                f"{expected} ({names}). Give it images with the channels it was trained on, in their order; of a "
                "series over time, each time point as a file of its own."
            )

    def segment(
        self,
        prepared: Prepared,
        on_window: OnWindow = lambda done, total: None,
        maps: MapSelection = NO_MAPS,
        spool: Path | None = None,
        *,
        with_agreement: bool = False,
    ) -> Prediction:
        """The label map, and the selected maps; probabilities wait in a temporary file in the folder ``spool``.

        with_agreement: also looks at the image slightly changed, and says how far both agree; the label map stays as
        it is.

        Where memory runs out it begins anew with less; raises MedSegError where nothing is left to be made smaller.
        """
        while True:
            try:
                return self._attempt(prepared, on_window, maps, spool, with_agreement)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._need_less()  # only here: the error holds the memory as long as it is handled

    def _place_on(self, placement: Placement) -> None:
        self.placement = placement
        devices = self.devices if placement.device == self.devices[0] else [placement.device]
        self.member_devices = [[devices[index % len(devices)] for index in range(len(group))] for group in self.groups]
        self.networks = [list(map(on_device, *pair)) for pair in zip(self.groups, self.member_devices, strict=True)]

    def _need_less(self) -> None:
        free_memory(self.placement.device)
        fallback = lighter(self.placement, self.trained)
        if fallback is None:
            raise MedSegError(
                "Memory ran out, and the windows that the model sees cannot be made smaller. Close other programs, "
                "or take a computer with more memory."
            )
        placement, message = fallback
        self.warn(f"Memory ran out. {message}")
        if placement.device == self.placement.device:
            self.placement = placement
        else:
            self._place_on(placement)
        free_memory(self.placement.device)

    @torch.inference_mode()
    def _attempt(
        self,
        prepared: Prepared,
        on_window: OnWindow,
        maps: MapSelection,
        spool: Path | None,
        with_agreement: bool,
    ) -> Prediction:
        with_variance = maps.uncertainty and self.result_count > 1
        region = prepared.arrangement.region
        target, channels = region.size_zyx, self.plan.out_channels + with_variance
        images = [prepared.images[preparation_key(plan)] for plan in self.trained]
        sources = [(image.shape[1], image.shape[2], image.shape[3]) for image in images]
        step = min(planes_at_once(channels, source, target) for source in sources)
        looks = self._looks() if with_agreement else [[] for _ in self.groups]
        parts = [0.0] * len(images)

        def count(index: int, done: int, total: int) -> None:
            parts[index] = done / total
            on_window(*((done, total) if len(parts) == 1 else (round(PARTS * sum(parts) / len(parts)), PARTS)))

        chunks = [
            onto_grid(
                self._slabs(index, image, with_variance, partial(count, index), looks[index]),
                source,
                target,
                step,
                _orders_back(self.trained[index], region),
            )
            for index, (image, source) in enumerate(zip(images, sources, strict=True))
        ]
        make = OverlappingCanvas if self.plan.overlapping else Canvas
        canvas = make(prepared, self.plan.classes, maps, with_variance=with_variance, spool=spool)
        counts = [len(group) for group in self.groups]
        for slabs in zip(*chunks, strict=True):
            values = [values for _, values in slabs]
            joined = combine_groups(values, counts, with_variance=with_variance, overlapping=self.plan.overlapping)
            canvas.add(slabs[0][0], joined)
        prediction = canvas.prediction()
        return (
            replace(prediction, agreement=mean_agreement([one for group in looks for one in group]))
            if with_agreement
            else prediction
        )

    def _looks(self) -> list[list[Agreement]]:
        """Of each network one, by group."""
        return [[Agreement(package.plan) for package in group] for group in self.groups]

    def _slabs(
        self, index: int, image: np.ndarray, with_variance: bool, on_window: OnWindow, looks: Sequence[Agreement]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        plan, placement, networks = self.placement.plans[index], self.placement, self.networks[index]
        return predict_slabs(
            with_neighbours(torch.from_numpy(image).to(placement.device), plan.neighbour_slices),
            averaged(
                networks,
                self.transforms,
                with_variance=with_variance,
                devices=self.member_devices[index],
                overlapping=plan.overlapping,
                of_logits=plan.preparation is not None,
                watched=[look.watch(network) for look, network in zip(looks, networks, strict=bool(looks))],
            ),
            channels=plan.out_channels + with_variance,
            patch=plan.patch_size,
            overlap=self.overlap,
            batch=plan.batch_size,
            on_window=on_window,
            keep_on=placement.sums_on,
            layout=layout_of(plan),
        )


def _orders_back(plan: Plan, region: Geometry) -> AxisOrders:
    """Of the splines that bring results of a network onto the grid of the image."""
    if plan.preparation is None:
        return LINEAR
    return axis_orders(plan.preparation.logits, network_spacing(region, plan), region.spacing_zyx)


def windows_at_once(plan: Plan, device: torch.device) -> int:
    """How many windows a network gets at a time: on a GPU as many as in training, on a CPU also more small ones."""
    return plan.batch_size if device.type != "cpu" else max(plan.batch_size, CPU_VOXELS // math.prod(plan.patch_size))


def describe_plan(plan: Plan) -> dict[str, str]:
    """What a reader of a report wants to know of a model."""
    settings = network_settings(plan.architecture, plan.network)
    options = [name if value is True else f"{name} {value}" for name, value in settings.items() if value]
    return {
        "Network": f"{plan.architecture}, {plan.dims}D, {', '.join(options).replace('_', ' ')}",
        "Voxel size": f"{' x '.join(f'{mm:.3g}' for mm in plan.spacing)} mm ({', '.join(plan.axes)})",
        "Patch": " x ".join(str(n) for n in plan.patch_size) + f" voxels, batch {plan.batch_size}",
        "Intensities": plan.reasons.get("normalization", ""),
        "Loss": plan.loss.loss_type,
        "Optimizer": f"{plan.optimizer_type}, learning rate {plan.learning_rate:g}, {plan.lr_schedule}",
    }
