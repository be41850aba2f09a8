"""Reads the images that are named to it, line by line, and says what came of each: run in a process of its own, for a
library that crashes takes its process with it.

    python reader.py BYTES      the most memory that it may have (Linux)

A line of input is a path of an image, or ``label`` and the path of a label map behind a tab. The answer is a line of
JSON: ``image`` with size, spacing, origin, direction of the first channel and the number of channels, ``refused`` with
the message, or ``traceback``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from MedSegTrainerLib.data.checks.scan import examine_cases
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerLib.imaging.label_maps import read_label_map
from MedSegTrainerLib.imaging.read import read_channels


def look_at(line: str) -> dict[str, Any]:
    kind, _, label = line.partition("\t")
    try:
        channels = [read_label_map(Path(label))] if label else read_channels([Path(kind)])
        examine_cases([Case(name="a", images=(Path(label or kind),), label=Path(label or kind))], num_workers=1)
    except MedSegError as error:
        return {"refused": str(error)}
    except Exception:
        return {"traceback": traceback.format_exc()}
    first: sitk.Image = channels[0]
    grid = {"size": first.GetSize(), "spacing": first.GetSpacing(), "origin": first.GetOrigin()}
    return {"image": {**grid, "direction": first.GetDirection(), "channels": len(channels)}}


def limit_memory(most: int) -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    limit_memory(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some libraries write to it
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(look_at(line.rstrip("\n"))), file=answers, flush=True)
