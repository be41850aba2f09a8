"""How far looks at the same image agree, class by class: what a network says of an image, and of it slightly changed.

Two numbers a class, of which the mean is taken. The Dice between its label maps of the image and of the image mirrored
where the training mirrored and with a little noise, as the training adds it (pairwise Dice between predictions: Roy et
al., NeuroImage 2019; the robust baseline of arXiv 2406.03323). And the soft Dice of its probabilities with their own
label map, which costs nothing. Sums are taken over the windows as they go through the network, so that no further
volume is held; where windows overlap a voxel counts as often as it is seen. Windows in which the network finds nothing
are not looked at again and count nowhere: a larger field of view changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.samples.augment import RANGES
from MedSegTrainerLib.inference.sliding_window import Network
from MedSegTrainerLib.inference.tta import Transform

NOISE = RANGES["standard"].noise[1]  # standard deviations of a window: the most that training adds
SEED = 0


class Agreement:
    """Sums over the windows of one volume, of one network; ``dice`` is what they come to.

    plan: of the network, which says what its training mirrored.
    """

    def __init__(self, plan: Plan) -> None:
        self.classes, self.overlapping, self.mirrored = len(plan.classes), plan.overlapping, mirrored_look(plan)
        self._sums: torch.Tensor | None = None  # (5, classes), where the network is: nobody waits for it

    def watch(self, network: Network) -> Network:
        """The network as it is, but that its results are counted, with those of ``noisy`` windows."""

        def watched(windows: torch.Tensor) -> torch.Tensor:
            logits = network(windows)
            found = self._find_something(logits)
            if bool(found.any()):
                again = self.mirrored.apply(noisy(windows[found]))
                self.add(logits[found], self.mirrored.undo(network(again)))
            return logits

        return watched

    def add(self, logits: torch.Tensor, changed: torch.Tensor) -> None:
        """Logits (B, channels, z, y, x) of windows, and of the same with a change."""
        (first, probability), (second, _) = self._seen(logits), self._seen(changed)
        counted = (first, second, first & second, probability * first, probability)
        dtype = torch.float32 if logits.device.type == "mps" else torch.float64
        sums = torch.stack([values.sum(dim=1, dtype=dtype) for values in counted])
        self._sums = sums if self._sums is None else self._sums + sums

    def dice(self) -> list[float | None]:
        """The agreement of each class, 0 to 1; None where no look found it."""
        if self._sums is None:
            return [None] * self.classes
        first, second, both, inside, probability = self._sums.cpu()
        pairwise = 2 * both / (first + second).clamp(min=1)
        soft = torch.where(first > 0, 2 * inside / (first + probability).clamp(min=1e-9), 0)
        means = ((pairwise + soft) / 2).tolist()
        return [mean if found else None for mean, found in zip(means, (first + second).tolist(), strict=True)]

    def _find_something(self, logits: torch.Tensor) -> torch.Tensor:
        """Whether any class is in each window."""
        if self.overlapping:
            return (logits > 0).flatten(1).any(dim=1)
        return (logits[:, 1:].amax(dim=1) > logits[:, 0]).flatten(1).any(dim=1)

    def _seen(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where each class is, and its probability: (classes, voxels)."""
        flat = logits.float().transpose(0, 1).flatten(1)
        if self.overlapping:
            return flat > 0, torch.sigmoid(flat)
        highest = flat.max(dim=0).indices  # argmax over the first axis takes ten times as long on a CPU
        masks = torch.stack([highest == value for value in range(1, self.classes + 1)])
        return masks, torch.softmax(flat, dim=0)[1:]


def mirrored_look(plan: Plan) -> Transform:
    """The mirroring along all axes that the training mirrored, but for those that exchange sides of the body."""
    return Transform(flips=tuple(axis for axis in plan.flip_axes if plan.axes[axis] not in plan.sides))


def noisy(windows: torch.Tensor) -> torch.Tensor:
    """(B, C, z, y, x) windows with noise, the same in each and at every call, by the deviation of each channel."""
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn((1, *windows.shape[1:]), generator=generator).to(windows.device, windows.dtype)
    return windows + NOISE * noise * windows.std(dim=(2, 3, 4), keepdim=True, correction=0)


def mean_agreement(looks: Sequence[Agreement]) -> list[float | None]:
    """That of each class over several networks, 0 where one did not find it; None where none did."""
    each = list(zip(*(one.dice() for one in looks), strict=True))
    return [
        None if all(value is None for value in values) else sum(value or 0.0 for value in values) / len(values)
        for values in each
    ]
