"""A training step never waits for its GPU: the host is ahead, and the GPU always has something to do.

Without a GPU the device is 'meta', whose tensors have no values: whatever needs one (a number, a yes or no, the
places that are not 0) fails there as it would wait on a GPU. What goes to the device is watched beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from MedSegTrainerLib.config.plan import LabelCode, Plan
from MedSegTrainerLib.config.settings import DataConfig, LossConfig, OptimizerConfig, TrainConfig
from MedSegTrainerLib.data.samples.augment import apply_augmentation, draw_augmentation
from MedSegTrainerLib.data.samples.batches import epoch_batches
from MedSegTrainerLib.data.samples.cache import CachedCase
from MedSegTrainerLib.data.samples.mixup_cutmix import Batch
from MedSegTrainerLib.data.samples.patches import PatchDraw, cut_batch
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.optimizers import OPTIMIZERS, build_optimizer

META = torch.device("meta")
ATEN = torch.ops.aten
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class WaitingError(AssertionError):
    """Something was sent to the device in a way that waits for it."""


class SendsWithoutWaiting(TorchDispatchMode):
    """Lets tensors reach the device in copies alone that do not wait."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        results = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        on_cpu = [tensor for tensor in given if tensor.device.type == "cpu" and tensor.ndim > 0]
        on_device = [tensor for tensor in (*given, *results) if tensor.device == META]
        waits = not (kwargs or {}).get("non_blocking") and not any(argument is True for argument in args)
        if on_cpu and on_device and (waits or func not in (ATEN._to_copy.default, ATEN.copy_.default)):
            raise WaitingError(f"{func} had tensors on both sides, or waited")
        return out


class MakesNothingOfNumbers(TorchFunctionMode):
    """``torch.tensor([1, 2], device=...)`` waits, too, and is not seen by the other."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and result.device == META:
            raise WaitingError("a tensor was made of numbers on the device itself")
        return result


@contextmanager
def never_waiting() -> Iterator[None]:
    with SendsWithoutWaiting(), MakesNothingOfNumbers():
        yield


def cases(place: torch.device) -> list[CachedCase]:
    """Two volumes, smaller and larger than a patch, with voxels of both classes."""
    stored = []
    for seed, shape in enumerate(((6, 9, 14), (3, 11, 13))):
        image = torch.randn((1, *shape), generator=torch.Generator().manual_seed(seed))
        locations = torch.tensor([[1, 1, 2, 3], [2, 1, 4, 5]], dtype=torch.int32)
        label = torch.zeros(shape, dtype=torch.uint8)
        for value, *voxel in locations.tolist():
            label[tuple(voxel)] = value
        stored.append(
            CachedCase(
                name=str(seed), image=image.to(place), label=label.to(place), locations=locations,
                geometry=Geometry(size=(shape[2], shape[1], shape[0])),
            )
        )  # fmt: skip
    return stored


def learner_on_meta(plan: Plan, config: TrainConfig | None = None) -> Learner:
    """With PyTorch's plain optimizers: the fused ones refuse tensors without values."""
    learner = Learner(plan, config or TrainConfig(), META)
    for group in learner.optimizer.param_groups:
        group["fused"] = group["foreach"] = False
    return learner


def batch(plan: Plan) -> Batch:
    return torch.zeros((2, 1, *plan.patch_size), device=META), torch.zeros(
        (2, *plan.patch_size), dtype=torch.int16, device=META
    )


FAULTS: dict[str, Callable[[torch.Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "bool": lambda x: bool(x.any()),
    "list": lambda x: x.tolist(),
    "places": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "cpu": lambda x: x.cpu(),
    "counts": lambda x: torch.bincount(x.long()),
    "different values": lambda x: torch.unique(x),
    "from numbers": lambda x: x + torch.tensor([1.0, 2.0, 3.0], device=META),
    "a copy that waits": lambda x: x + torch.ones(3).to(META),
    "a copy into it that waits": lambda x: x.copy_(torch.ones(3)),
    "places from the host": lambda x: x[torch.tensor([0, 2])],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_waiting_is_seen(fault: str) -> None:
    """Or the tests below would prove nothing."""
    x = torch.zeros(3, device=META)
    complaints = "meta|Meta|both sides|made of numbers"
    with pytest.raises((WaitingError, RuntimeError, NotImplementedError), match=complaints), never_waiting():
        FAULTS[fault](x)


def test_what_does_not_wait_is_let_through() -> None:
    x = torch.zeros(3, device=META)
    with never_waiting():
        x + torch.ones(3).to(META, non_blocking=True) + torch.tensor(2.0) + torch.full((), 3.0, device=META)
        x.copy_(torch.ones(3), non_blocking=True)


@pytest.mark.parametrize("codes", [(), (LabelCode(unknown=(2,)), LabelCode(unknown=(1, 2)))], ids=["known", "unknown"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "loss",
    [
        LossConfig(loss_type="combined"),
        LossConfig(loss_type="focal"),
        LossConfig(loss_type="combined", dice_weight=1.0, ce_weight=1.0, boundary_weight=0.5, class_weights=[1, 2, 3]),
    ],
    ids=["dice and cross-entropy", "focal", "boundary"],
)
def test_step(tiny_plan: Plan, loss: LossConfig, last: bool, codes: tuple[LabelCode, ...]) -> None:
    network = {**tiny_plan.network, "deep_supervision": True}
    plan = replace(tiny_plan, loss=loss, channels_last=last, network=network, label_codes=codes)
    learner = learner_on_meta(plan)
    learner.loss.ramp = 1.0
    images, labels = batch(tiny_plan)
    with never_waiting():
        for _ in range(2):
            total, norm = learner.step([(images, labels), (images, labels, labels, 0.7)], 2, 1e-3)
    assert total.device == norm.device == META


@pytest.mark.parametrize("clip_type", ["norm", "value"])
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_step_with_other_optimizers(tiny_plan: Plan, optimizer: str, clip_type: str) -> None:
    config = TrainConfig()
    config = replace(config, trainer=replace(config.trainer, gradient_clip_type=clip_type))
    learner = learner_on_meta(replace(tiny_plan, optimizer_type=optimizer), config)
    with never_waiting():
        learner.step([batch(tiny_plan)], 1, 1e-3)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_loss_scaling_leaves_it_to_the_optimizer_to_skip_a_step(tiny_plan: Plan, optimizer: str) -> None:
    """Else PyTorch's scaler asks the device for it, once a step."""
    network = torch.nn.Linear(2, 2)
    assert build_optimizer(network, optimizer, 1e-3, 0.0, OptimizerConfig())._step_supports_amp_scaling  # type: ignore[attr-defined]


@pytest.mark.parametrize("place", ["meta", "cpu"])
@pytest.mark.parametrize("neighbours", [0, 1])
def test_patches(tiny_plan: Plan, place: str, neighbours: int) -> None:
    """From volumes on the device, and from volumes in main memory."""
    stored = cases(torch.device(place))
    draws = [PatchDraw(case=0, center=(2, 4, 6)), PatchDraw(case=1, center=(1, 3, 5))]
    with never_waiting():
        images, labels = cut_batch(stored, draws, (1 if neighbours else 4, 8, 12), META, neighbours)
    assert images.device == labels.device == META
    assert labels.dtype == torch.int16


@pytest.mark.parametrize("settings", [{}, {"mixup": 1.0, "cutmix": 1.0}])
@pytest.mark.parametrize("place", ["meta", "cpu"])
def test_batches(tiny_plan: Plan, place: str, settings: dict[str, Any]) -> None:
    config, stored = DataConfig(augmentation=False, foreground_oversampling=0.5, **settings), cases(torch.device(place))
    with never_waiting():
        for batch in itertools.islice(epoch_batches(stored, tiny_plan, config, META, 0), 4):
            assert batch[0].device == batch[1].device == META


def test_augmentation(tiny_plan: Plan, generator: np.random.Generator) -> None:
    """Without the noise: 'meta' has no random numbers."""
    images, labels = torch.zeros((8, 1, 5, 10, 15), device=META), torch.zeros((8, 5, 10, 15), device=META).short()
    for _ in range(3):
        draw = draw_augmentation(generator, 8, tiny_plan, "standard")
        assert draw.elastic is not None
        draw = replace(draw, noise=torch.zeros(8), blur=torch.linspace(0, 1, 8))
        with never_waiting():
            apply_augmentation(images, labels, draw, tiny_plan)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("place", ["cuda", "cpu"])
def test_on_a_gpu(tiny_plan: Plan, place: str, mixed: bool) -> None:
    """Everything from the draw to the moved weights, as it is."""
    device = torch.device("cuda")
    loss = LossConfig(loss_type="combined", dice_weight=1.0, ce_weight=1.0, boundary_weight=0.5)
    codes = (LabelCode(unknown=(2,)),)
    plan = replace(tiny_plan, loss=loss, mixed_precision=mixed, channels_last=mixed, label_codes=codes)
    learner = Learner(plan, TrainConfig(), device)
    learner.loss.ramp = 1.0
    config = DataConfig(foreground_oversampling=0.5, mixup=0.3, cutmix=0.3)
    stored = cases(torch.device(place))
    learner.step(itertools.islice(epoch_batches(stored, plan, config, device, 0), 2), 2, 1e-3)  # libraries are loaded
    try:
        torch.cuda.set_sync_debug_mode("error")
        for epoch in range(3):
            batches = epoch_batches(stored, plan, config, device, epoch)
            for _ in range(5):
                total, _ = learner.step(itertools.islice(batches, 2), 2, 1e-3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(total)
