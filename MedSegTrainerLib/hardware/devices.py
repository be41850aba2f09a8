"""Several GPUs of one computer for work that falls into parts of its own: folds, and the models of an ensemble."""

from __future__ import annotations

import torch

from MedSegTrainerLib.config.settings import Auto


def several_gpus(
    device: torch.device, asked: int | Auto, *, seen: int | None = None
) -> tuple[list[torch.device], str | None]:
    """As many GPUs as asked for, and a warning where there are fewer; where it is no GPU, or one by its number: that.

    ``"auto"``: all. seen: how many there are, by default what PyTorch sees.
    """
    if device.type != "cuda" or device.index is not None:
        return [device], None
    there = torch.cuda.device_count() if seen is None else seen
    count = there if asked == "auto" else min(asked, there)
    warning = None
    if asked != "auto" and asked > there:
        warning = f"{asked} devices were asked for, and PyTorch sees {there}: these are used."
    return ([device] if count < 2 else [torch.device("cuda", index) for index in range(count)]), warning


def devices_of_models(device: torch.device, asked: int | Auto, models: int) -> tuple[list[torch.device], str | None]:
    """The devices that so many models are spread over, the first one first, and a warning where these are fewer than
    asked for."""
    found, warning = several_gpus(device, asked)
    if device.type != "cuda" and asked not in (1, "auto"):
        warning = f"{asked} devices were asked for, but models are spread over GPUs only: here they take turns."
    return found[:models], warning
