"""Both sides of ``infer.py``, each in a process of its own: a volume in memory becomes a label map.

Started with the name of a side. The first line of input is its task, a JSON object; it answers with a line once it is
ready, then with one for each further line, which is one of VOLUMES. The end of the input ends it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.data.samples.arrangement import Arrangement
from MedSegTrainerLib.data.samples.patches import Triple
from MedSegTrainerLib.hardware.device import synchronize
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.canvas import Prepared
from MedSegTrainerLib.inference.ensemble import preparation_key
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.networks import build_network

BODY = (0.6, 0.85)  # of the width of the volume along y and x: an abdomen in the field of view of a CT

Run = Callable[[np.ndarray], np.ndarray]


def full(size: Triple, channels: int) -> np.ndarray:
    """Noise everywhere, float32 (C, z, y, x): no window is empty."""
    return np.random.default_rng(0).standard_normal((channels, *size), dtype=np.float32)


def body(size: Triple, channels: int) -> np.ndarray:
    """Noise in an elliptic cylinder along z, a single value around it, as in a CT whose air is clipped."""
    image = full(size, channels)
    y, x = (np.linspace(-1, 1, n) / share for n, share in zip(size[1:], BODY, strict=True))
    image[:, :, y[:, None] ** 2 + x**2 > 1] = -3
    return image


VOLUMES = {"full": full, "body": body}


def ours(plan: Plan, device: torch.device, overlap: float) -> Run:
    """As ``medsegtrainer apply`` does it, between reading and writing."""
    predictor = Predictor(ModelPackage(plan=plan, weights=_weights(plan)), device, overlap=overlap)

    def run(image: np.ndarray) -> np.ndarray:
        z, y, x = image.shape[1:]
        grid = Geometry(size=(x, y, z))
        prepared = Prepared(
            images={preparation_key(plan): image}, arrangement=Arrangement(original=grid, whole=grid, region=grid)
        )
        return sitk.GetArrayFromImage(predictor.segment(prepared).labels)

    return run


def theirs(plan: Plan, device: torch.device, overlap: float) -> Run:
    """MONAI's inferer with the same weights in plain PyTorch."""
    from monai.inferers import SlidingWindowInferer

    from benchmarks.plain_unet import PlainUNet

    plain = PlainUNet(plan.network)
    with torch.no_grad():
        for parameter, values in zip(plain.parameters(), _weights(plan).values(), strict=True):
            parameter.copy_(values)
    plain.to(device).eval()
    inferer = SlidingWindowInferer(
        plan.patch_size, sw_batch_size=plan.batch_size, overlap=overlap, mode="gaussian", padding_mode="replicate"
    )
    values = torch.tensor([0, *(item.value for item in plan.classes)])

    @torch.inference_mode()
    def run(image: np.ndarray) -> np.ndarray:
        logits = inferer(torch.from_numpy(image).to(device)[None], lambda windows: plain(windows)[0])
        return values[logits.argmax(dim=1)[0].to("cpu", torch.uint8).int()].to(torch.uint8).numpy()

    return run


SIDES = {"ours": ours, "theirs": theirs}


def _weights(plan: Plan) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(build_network(plan.architecture, plan.network).state_dict())


def peak_bytes(device: torch.device) -> int | None:
    """The most memory this process ever had; on a GPU, what its tensors had there. None where nobody tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells begins with the memory of the process that started this one
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        return 1024 * int(fields["VmHWM"].split()[0])
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "win32" and find_spec("psutil"):
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    return None


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    task = json.loads(sys.stdin.readline())
    torch.set_num_threads(task["threads"])
    plan, device, size = parse_plan(task["plan"]), torch.device(task["device"]), tuple(task["volume"])
    run = SIDES[sys.argv[1]](plan, device, task["overlap"])
    before = peak_bytes(device)
    first = tuple(min(n, 2 * patch) for n, patch in zip(size, plan.patch_size, strict=True))
    run(full(first, len(plan.normalization)))  # chooses kernels
    _answer(answers, {"peak": before})
    for line in sys.stdin:
        image = VOLUMES[line.strip()](size, len(plan.normalization))
        synchronize(device)
        started = time.perf_counter()
        run(image)
        synchronize(device)
        _answer(answers, {"seconds": time.perf_counter() - started, "peak": peak_bytes(device)})
        del image


def _answer(answers: Any, values: dict[str, Any]) -> None:
    print(json.dumps(values), file=answers, flush=True)


if __name__ == "__main__":
    main()
