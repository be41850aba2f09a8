"""A trained network for other programs: TorchScript, ``torch.export``, ONNX, a MONAI bundle, or nnU-Net's folder.

What is exported maps (B, channels, z, y, x) float32 images, as ``data.samples.preprocess`` makes them, to logits
(B, classes, z, y, x); of a 2D network (B, channels, y, x) to (B, classes, y, x). The first class is background and the
probabilities are the softmax; of a model whose classes overlap there is no background, and each has a sigmoid. An
ensemble is one network, whose logits are those of the mean of its members' probabilities. Every file is read again and
compared with the original before it is left in its place.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import ModelError, UsageError, did_you_mean
from MedSegTrainerLib.export.tracing import (
    Exported,
    Logits,
    Members,
    check,
    dynamic_sizes,
    example,
    exported_program,
    is_dynamic,
    quiet,
    traced,
)
from MedSegTrainerLib.inference.ensemble import grouped
from MedSegTrainerLib.model.any_description import read_description
from MedSegTrainerLib.model.package import load_members

INPUT, OUTPUT = "image", "logits"
NO_ONNX = "ONNX files need the packages onnx, onnxscript and onnxruntime: pip install 'MedSegTrainerLib[export]'"


def export(model: Path, output: Path, form: str) -> Exported:
    """Writes a model or ensemble in one of ``FORMATS`` to a new file (of a MONAI bundle and nnU-Net: folder).

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
    description = read_description(model)  # of an ensemble: how good all are together
    members[0] = replace(
        members[0], **{key: description[key] for key in ("training", "metrics", "data") if key in description}
    )
    with atomic.storage_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    return FORMATS[form](members, output)


def _torchscript(members: Members, output: Path) -> Exported:
    with _temporary(output) as path, quiet():
        traced(members).save(str(path))
        difference = check(members, torch.jit.load(str(path)), "The TorchScript file")
        path.replace(output)
    return Exported(path=output, difference=difference, is_dynamic=is_dynamic(members[0]))


def _torch_export(members: Members, output: Path) -> Exported:
    with _temporary(output) as path, quiet():
        torch.export.save(exported_program(members), path)
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
            Logits(*members),
            (example(package),),
            dynamo=True,
            verbose=False,
            external_data=False,
            optimize=True,
            dynamic_shapes=(dynamic_sizes(package),),
            input_names=[INPUT],
            output_names=[OUTPUT],
        )
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


def _nnunet(members: Members, output: Path) -> Exported:
    from MedSegTrainerLib.export.nnunet_model import write_nnunet

    return write_nnunet(members, output)


FORMATS: dict[str, Callable[[Members, Path], Exported]] = {
    "torchscript": _torchscript,
    "torch-export": _torch_export,
    "onnx": _onnx,
    "monai-bundle": _bundle,
    "nnunet": _nnunet,
}


@contextmanager
def _temporary(output: Path) -> Iterator[Path]:
    """A path beside the file that is to be, which replaces it when all is well; nothing is left otherwise."""
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=output.parent) as folder, atomic.storage_errors(output):
        yield Path(folder) / output.name
