"""Channels that are label maps: a second rater's, or one that sums several up. From such a channel a network copies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from MedSegTrainerLib.data.checks.case_scan import Examined
from MedSegTrainerLib.data.checks.case_statistics import MOST_VALUES
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.read import case_name

SAME_STRUCTURE = 0.7  # Dice; two raters of one structure agree better, a mask of the body or of an organ around it not


def label_channels(examined: Examined) -> Iterator[Finding]:
    """An error for a channel beside others that matches the label maps, a warning for one that only looks so."""
    scans = [(scan, scan.stats.label_overlaps) for scan in examined.scans if scan.stats]
    for channel in range(max((len(overlaps) for _, overlaps in scans), default=0)):
        dices = [each[channel] for _, each in scans if channel < len(each) and each[channel] is not None]
        if len(dices) <= len(scans) / 2:
            continue
        dice = float(np.median(dices))  # type: ignore[arg-type]
        scan, overlaps = scans[0]
        files = examined.images.get(scan.name, ())
        which = f"Channel {channel}" + (f" ({files[channel].name} of {scan.name})" if channel < len(files) else "")
        message = f"{which} holds at most {MOST_VALUES} different whole numbers, as a label map does"
        if dice >= SAME_STRUCTURE:
            message += f", and lies where the labels are (Dice {dice:.2f}): a network would copy it"
        if len(overlaps) > 1 and dice >= SAME_STRUCTURE:
            yield Finding(
                severity="error",
                kind="a label map as channel",
                message=f"{message}.",
                remedy=_leave_out(files, channel),
            )
        elif len(overlaps) > 1 or dice >= SAME_STRUCTURE:
            yield Finding(
                severity="warning",
                kind="a channel like a label map",
                message=f"{message}.",
                remedy=f"Nothing to do where new images have it too. {_leave_out(files, channel)}",
            )


def _leave_out(files: Sequence[Path], channel: int) -> str:
    rest = [case_name(path) for index, path in enumerate(files) if index != channel]
    if rest and files[0].parent.name not in ("imagesTr", "images"):
        return f"Leave it out by naming the others: --set 'image_names={json.dumps(rest)}'"
    return "Leave it out: move its files away." if rest else "Give the image itself."
