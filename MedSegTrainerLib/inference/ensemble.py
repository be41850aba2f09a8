"""Several predictions for the same windows, averaged: members of an ensemble, and transforms of test-time augmentation.

The mean is that of the probabilities, given as its logarithm, which takes the place of logits; where classes overlap it
is given as the logit of each. Plans of another program have the mean of the logits themselves. The standard deviation
of a voxel is the root of the variances of the class probabilities over the members, added up over the classes: 0 where
all agree, below 1 always. Classes that overlap are a pair of probabilities each, of being there and not, and their sum
may be above 1 where many classes are unsure at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.hardware.device import Precision
from MedSegTrainerLib.inference.running_means import MeanLogits, MeanProbabilities
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
    of_logits: bool = False,
    watched: Sequence[Network] = (),
) -> Network:
    """All networks on all transforms of a window as one network.

    with_variance: adds the variance (the square of the standard deviation) as a last channel; a single prediction
    without it is passed on as it is: its logits. devices: of each network (``member_results``). overlapping: the
    logits are those of sigmoids, not of one softmax. of_logits: these are averaged, not the probabilities. watched: the
    same networks, which somebody looks at while they see the first transform (``Agreement.watch``).
    """
    first = watched or networks
    if len(networks) * len(transforms) == 1 and not with_variance and transforms[0] == IDENTITY:
        return first[0]
    kind = MeanLogits if of_logits else MeanProbabilities

    def average(windows: torch.Tensor) -> torch.Tensor:
        mean = kind(with_variance=with_variance, overlapping=overlapping)
        for transform in transforms:
            seen = transform.apply(windows)
            for result in member_results(first if transform == transforms[0] else networks, seen, devices):
                mean.add(transform.undo(result.float()))
        return mean.result()

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
    return plan.dims, plan.spacing, plan.image_size, plan.normalization, plan.slice_axis, plan.preparation


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
        ("ways from the file to the network and back", _way(first), _way(plan)),
    ):
        if one != other:
            raise ModelError(
                f"Models can be averaged where they have the same {what}, and model {number} has {other}, the first "
                f"{one}. Apply them one by one."
            )


def _way(plan: Plan) -> str:
    """What all models that are averaged must do alike: which box of an image they see, and how results come back."""
    way = plan.preparation
    if way is None:
        return "this program's own"
    cropped = "cropped to what is not 0" if way.crop_to_nonzero else "not cropped"
    return (
        f"axes {way.orientation or 'of the file'} in the order {list(way.transpose)}, {cropped}, and logits by splines "
        f"of order {way.logits.order} and {way.logits.order_z} ({way.logits.separate_z})"
    )
