"""A trained network as a file for other programs: TorchScript, ``torch.export``, ONNX, or a MONAI bundle.

What is exported maps (B, channels, z, y, x) float32 images, as ``data.samples.preprocess`` makes them, to logits
(B, classes, z, y, x); of a 2D network (B, channels, y, x) to (B, classes, y, x). An ensemble is one network, whose
logits are the logarithms of the mean of its members' probabilities. Every file is read again and compared with the
original before it is left in its place.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.errors import ModelError, UsageError, did_you_mean
from MedSegTrainerLib.inference.ensemble import grouped
from MedSegTrainerLib.model.package import ModelPackage, load_members, read_description

TOLERANCE = 1e-4  # largest difference of a logit
INPUT, OUTPUT = "image", "logits"
Members = Sequence[ModelPackage]
NO_ONNX = "ONNX files need the packages onnx, onnxscript and onnxruntime: pip install 'MedSegTrainerLib[export]'"
FIXED_SIZE = ("SwinUNETR",)  # beside those that are fixed by nature: their windows are counted when they are traced


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file (or folder) that was written, and the largest difference of a logit from the original.

    is_dynamic: whether it takes images of any size that is a multiple of the plan's divisor, else of the patch alone.
    """

    path: Path
    difference: float
    is_dynamic: bool


class Logits(nn.Module):
    """The network of a package, on the CPU in 32 bits, without the list around its result; of several their mean, as
    ``ensemble.averaged`` gives it."""

    def __init__(self, *members: ModelPackage) -> None:
        super().__init__()
        self.networks = nn.ModuleList([package.build().float() for package in members])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = [network(image)[0] for network in self.networks]
        if len(found) == 1:
            return found[0]
        logs = torch.stack([functional.log_softmax(logits, dim=1) for logits in found])
        return torch.logsumexp(logs, dim=0) - math.log(len(found))


def export(model: Path, output: Path, form: str) -> Exported:
    """Writes a model or ensemble in one of ``FORMATS`` to a new file (of a MONAI bundle: folder).

    Raises UsageError for an unknown format, a file that is there, or a package of Python that is missing, and
    ModelError where the network cannot be exported, the result does not agree with it, or the members of an ensemble
    do not see the same images.
    """
    if form not in FORMATS:
        raise UsageError(f"'{form}' is no format to export to.{did_you_mean(form, FORMATS)}")
    if output.exists():
        raise UsageError(f"{output} is there already and stays as it is. Choose another name.")
    members = load_members(model)
    if len(grouped(members)) > 1:
        raise ModelError(
            f"The {len(members)} models of {model} see images in different ways (voxels, intensities, patches or "
            "networks differ), and one file cannot prepare an image for all. Export them one by one."
        )
    told = read_description(model)  # of an ensemble: how good all are together
    members[0] = replace(members[0], **{key: told[key] for key in ("training", "metrics", "data") if key in told})
    with atomic.storage_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    return FORMATS[form](members, output)


def example(package: ModelPackage, *, batch: int = 2, grown: bool = False, seed: int = 0) -> torch.Tensor:
    """A random batch of patches as the network takes them; ``grown`` by a divisor along each axis."""
    plan = package.plan
    size = [n + (d if grown else 0) for n, d in zip(plan.patch_size, plan.divisor, strict=True)][3 - plan.dims :]
    channels = len(plan.normalization) * (2 * plan.neighbour_slices + 1)
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(seed))


def is_dynamic(package: ModelPackage) -> bool:
    name = package.plan.architecture
    return not ARCHITECTURES[name].is_fixed and name not in FIXED_SIZE


def traced(members: Members) -> torch.jit.ScriptModule:
    """The network as TorchScript; sizes stay free where the network allows it."""
    with torch.inference_mode(False), torch.no_grad(), quiet():
        script: torch.jit.ScriptModule = torch.jit.trace(Logits(*members), example(members[0]), check_trace=False)
    return script


def check(members: Members, run: Callable[[torch.Tensor], torch.Tensor], what: str) -> float:
    """The largest difference of a logit on random patches, one and two at once, and where it takes other sizes also
    on a larger one; raises ModelError where it is not within ``TOLERANCE``."""
    network, package = Logits(*members), members[0]
    images = [example(package, seed=1), example(package, batch=1, seed=2)]
    images += [example(package, batch=1, grown=True, seed=3)] if is_dynamic(package) else []
    difference = 0.0
    with torch.no_grad():
        for image in images:
            wanted, found = network(image), run(image)
            if found.shape != wanted.shape or not bool(torch.isfinite(found).all()):
                raise ModelError(f"{what} gives {tuple(found.shape)} instead of {tuple(wanted.shape)} finite logits.")
            difference = max(difference, float((found - wanted).abs().max()))
    if not difference <= TOLERANCE:
        raise ModelError(f"{what} differs from the model by {difference:.2g}, more than {TOLERANCE:g}. It is not kept.")
    return difference


def _torchscript(members: Members, output: Path) -> Exported:
    with _temporary(output) as path, quiet():
        traced(members).save(str(path))
        difference = check(members, torch.jit.load(str(path)), "The TorchScript file")
        path.replace(output)
    return Exported(path=output, difference=difference, is_dynamic=is_dynamic(members[0]))


def _torch_export(members: Members, output: Path) -> Exported:
    with _temporary(output) as path, quiet():
        torch.export.save(_program(members), path)
        difference = check(members, torch.export.load(path).module(), "The exported program")
        path.replace(output)
    return Exported(path=output, difference=difference, is_dynamic=is_dynamic(members[0]))


def _onnx(members: Members, output: Path) -> Exported:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  what torch.onnx writes with
    except ImportError as error:
        raise UsageError(f"{NO_ONNX} ({error}).") from None
    with _temporary(output) as path, quiet():
        package = members[0]
        program = torch.onnx.export(
            Logits(*members), (example(package),), dynamo=True, verbose=False, external_data=False, optimize=True,
            dynamic_shapes=(_dynamic(package),), input_names=[INPUT], output_names=[OUTPUT],
        )  # fmt: skip
        assert program is not None
        program.save(str(path))
        onnx.checker.check_model(str(path))
        run = _runtime(onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"]))
        difference = check(members, run, "The ONNX file")
        path.replace(output)
    return Exported(path=output, difference=difference, is_dynamic=is_dynamic(members[0]))


def _runtime(session: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    def run(images: torch.Tensor) -> torch.Tensor:
        (logits,) = session.run(None, {INPUT: images.numpy()})
        return torch.from_numpy(np.asarray(logits))

    return run


def _bundle(members: Members, output: Path) -> Exported:
    from MedSegTrainerLib.export.monai_bundle import write_bundle

    return write_bundle(members, output)


FORMATS: dict[str, Callable[[Members, Path], Exported]] = {
    "torchscript": _torchscript, "torch-export": _torch_export, "onnx": _onnx, "monai-bundle": _bundle,
}  # fmt: skip


def _program(members: Members) -> torch.export.ExportedProgram:
    package = members[0]
    return torch.export.export(Logits(*members), (example(package),), dynamic_shapes=(_dynamic(package),))


def _dynamic(package: ModelPackage) -> dict[int, Any]:
    """Axes of the input that may have other lengths: multiples of the divisor, at least two of them."""
    axes: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    if is_dynamic(package):
        divisors: Sequence[int] = package.plan.divisor[3 - package.plan.dims :]
        for axis, (name, step) in enumerate(zip("zyx"[3 - len(divisors) :], divisors, strict=True), start=2):
            units = torch.export.Dim(f"{name}_units", min=1 if step > 1 else 2)
            axes[axis] = step * units if step > 1 else units
    return axes


@contextmanager
def _temporary(output: Path) -> Iterator[Path]:
    """A path beside the file that is to be, which replaces it when all is well; nothing is left otherwise."""
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=output.parent) as folder, atomic.storage_errors(output):
        yield Path(folder) / output.name


@contextmanager
def quiet() -> Iterator[None]:
    """Without what PyTorch says of its own future, and of sizes that are looked at while tracing: the result is
    checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
