"""Answers as nnunet_process.py does, without nnU-Net: a small plan, and steps that take the seconds it says.

Arguments: a folder for what it was given, how often it steps before it ends, and what the benchmark adds.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

SECONDS = {"plain": 3.0, "bfloat16": 2.0}
FACTS = {
    "versions": {"nnunetv2": "0.0", "torch": "0.0"},
    "network": "PlainConvUNet",
    "kwargs": {
        "features_per_stage": [4, 6, 8],
        "strides": [[1, 1, 1], [2, 2, 2], [1, 2, 2]],
        "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        "n_conv_per_stage": [2, 2, 2],
        "n_conv_per_stage_decoder": [1, 2],
    },
    "in_channels": 1,
    "out_channels": 5,
    "patch_size": [8, 16, 24],
    "batch_size": 3,
    "gflop": 2.0,
    "optimizer": "SGD",
    "compiles": False,
    "threads": 1,
}

folder, most = Path(sys.argv[1]), int(sys.argv[2])
variables = {name.upper(): value for name, value in os.environ.items() if name.upper().startswith("NNUNET_")}
raw = Path(variables["NNUNET_RAW"])
given = {
    "arguments": sys.argv[3:],
    "variables": variables,
    "files": sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.*")),
    "dataset": json.loads((raw / "Dataset001_Bench" / "dataset.json").read_text(encoding="utf-8")),
    "steps": [],
}


def answer(values: dict[str, object]) -> None:
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    print(json.dumps(values), flush=True)


answer(FACTS)
for line in sys.stdin:
    given["steps"].append(line.strip())
    if len(given["steps"]) > most:
        print("the memory was too small", file=sys.stderr)
        raise SystemExit(7)
    seconds = SECONDS.get(line.strip())
    answer({"seconds": seconds} if seconds else {"failed": "InductorError: no compiler"})
