"""Several predictions for the same windows, averaged: members of an ensemble, and transforms of test-time augmentation.

The mean is that of the probabilities, given as its logarithm, which takes the place of logits; where classes overlap it
is given as the logit of each. The standard deviation of a voxel is the root of the variances of the class probabilities
over the members, added up over the classes: 0 where all agree, below 1 always. Classes that overlap are a pair of
probabilities each, of being there and not, and their sum may be above 1 where many classes are unsure at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.hardware.device import Precision
from MedSegTrainerLib.inference.sliding_window import Network
from MedSegTrainerLib.inference.tta import IDENTITY, Transform
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.networks.forward import to_channels_last, window_forward

InputKey = tuple[object, ...]


def on_device(package: ModelPackage, device: torch.device) -> Network:
    """The network of a package as a function of windows (``forward.window_forward``) on a device."""
    plan = package.plan
    network = package.build().to(device)
    if plan.channels_last:
        network = to_channels_last(network, plan.dims)
    return window_forward(network, plan, Precision(device, plan.mixed_precision))


def averaged(
    networks: Sequence[Network],
    transforms: Sequence[Transform] = (IDENTITY,),
    *,
    with_variance: bool,
    devices: Sequence[torch.device] = (),
    overlapping: bool = False,
    watched: Sequence[Network] = (),
) -> Network:
    """All networks on all transforms of a window as one network.

    with_variance: adds the variance (the square of the standard deviation) as a last channel; a single prediction
    without it is passed on as it is: its logits. devices: of each network (``member_results``). overlapping: the
    logits are those of sigmoids, not of one softmax. watched: the same networks, which somebody looks at while they see
    the first transform (``Agreement.watch``).
    """
    first = watched or networks
    if len(networks) * len(transforms) == 1 and not with_variance and transforms[0] == IDENTITY:
        return first[0]
    count = len(networks) * len(transforms)
    pairs = 2 if overlapping else 1  # p and 1 - p vary alike

    def average(windows: torch.Tensor) -> torch.Tensor:
        mean: torch.Tensor | None = None
        absent: torch.Tensor | None = None
        squares: torch.Tensor | float = 0.0
        for transform in transforms:
            seen = transform.apply(windows)
            for result in member_results(first if transform == transforms[0] else networks, seen, devices):
                logits = transform.undo(result.float())
                logs = functional.logsigmoid(logits) if overlapping else functional.log_softmax(logits, dim=1)
                mean = logs if mean is None else torch.logaddexp(mean, logs)
                if overlapping:
                    others = functional.logsigmoid(-logits)
                    absent = others if absent is None else torch.logaddexp(absent, others)
                if with_variance:
                    squares = squares + pairs * logs.exp().square_().sum(dim=1, keepdim=True)
        assert mean is not None
        mean = mean - math.log(count)
        shown = mean if absent is None else mean - (absent - math.log(count))
        if not with_variance:
            return shown
        variance = squares / count - pairs * mean.exp().square_().sum(dim=1, keepdim=True)
        return torch.cat([shown, variance.clamp(min=0)], dim=1)

    return average


def member_results(
    networks: Sequence[Network], windows: torch.Tensor, devices: Sequence[torch.device] = ()
) -> Iterator[torch.Tensor]:
    """The results of one network after the other for windows, on the device of the windows.

    devices: of each network, if they are on several, in turn; these compute at the same time. A copy between GPUs waits
    for what both were given before it: windows go to all before a network begins, results come when all have begun.
    """
    copies = {device: windows.to(device, non_blocking=True) for device in devices}
    if len(copies) < 2:
        yield from (network(windows) for network in networks)
        return
    for first in range(0, len(networks), len(copies)):
        some = list(zip(networks, devices, strict=True))[first : first + len(copies)]
        for result in [network(copies[device]) for network, device in some]:
            # a copy to main memory that nobody waits for would be read too early
            yield result.to(windows.device, non_blocking=windows.is_cuda)


def combine_groups(
    parts: Sequence[torch.Tensor], counts: Sequence[int], *, with_variance: bool, overlapping: bool = False
) -> torch.Tensor:
    """The results (channels, z, y, x) of groups of so many members each as that of all of them.

    The variance of all is the mean of the variances within the groups and the variance between their means.
    """
    if len(parts) == 1:
        return parts[0]
    shares = [count / sum(counts) for count in counts]
    logits = [part[:-1] if with_variance else part for part in parts]
    logs = [functional.logsigmoid(one) if overlapping else functional.log_softmax(one, dim=0) for one in logits]
    mean = _log_mean(logs, shares)
    shown = mean - _log_mean([functional.logsigmoid(-one) for one in logits], shares) if overlapping else mean
    if not with_variance:
        return shown
    p, pairs = mean.exp(), 2 if overlapping else 1
    variance = sum(
        s * (part[-1] + pairs * (log.exp() - p).square_().sum(dim=0))
        for s, part, log in zip(shares, parts, logs, strict=True)
    )
    assert isinstance(variance, torch.Tensor)
    return torch.cat([shown, variance[None]])


def _log_mean(logs: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    return torch.logsumexp(torch.stack([log + math.log(s) for log, s in zip(logs, shares, strict=True)]), dim=0)


def grouped(packages: Sequence[ModelPackage]) -> list[list[ModelPackage]]:
    """Packages that see the same windows of the same grid in groups: their windows are cut only once.

    Raises ModelError where they have other classes or channels than the first.
    """
    groups: dict[InputKey, list[ModelPackage]] = {}
    for number, package in enumerate(packages, start=1):
        _refuse_others(packages[0].plan, package.plan, number)
        groups.setdefault(window_key(package.plan), []).append(package)
    return list(groups.values())


def window_key(plan: Plan) -> InputKey:
    """What two plans have in common whose networks can be given the same windows."""
    return (*preparation_key(plan), plan.patch_size, plan.neighbour_slices)


def preparation_key(plan: Plan) -> InputKey:
    """What two plans have in common that make the same of an image (``data.preprocess.prepare_image``)."""
    return plan.dims, plan.spacing, plan.image_size, plan.normalization, plan.slice_axis


def _refuse_others(first: Plan, plan: Plan, number: int) -> None:
    if first.overlapping != plan.overlapping:
        kinds = ("classes exclude each other", "classes overlap")
        raise ModelError(
            f"Models whose {kinds[True]} cannot be averaged with models whose {kinds[False]}: in model {number} "
            f"{kinds[plan.overlapping]}, in the first {kinds[first.overlapping]}. Apply them one by one."
        )
    for what, one, other in (
        ("classes", *([(c.value, c.name) for c in p.classes] for p in (first, plan))),
        ("numbers of channels", len(first.normalization), len(plan.normalization)),
        ("axes of slices", first.slice_axis, plan.slice_axis),
    ):
        if one != other:
            raise ModelError(
                f"Models can be averaged where they have the same {what}, and model {number} has {other}, the first "
                f"{one}. Apply them one by one."
            )
