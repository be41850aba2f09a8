"""Wrong models, images and label maps: for apply and evaluate."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.job_settings import ApplyConfig, EvaluateConfig
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.job import JobFolder

Words = list[str | Path]


def apply(place: Any, *inputs: Path, model: Path | None = None, **settings: Any) -> Words:
    """What 'apply' does, but without a process of its own, which takes seconds."""
    values = {"inputs": [str(path) for path in inputs or (place.image(),)], "output_dir": str(place.out)}
    values |= {"model": str(model or place.trained), "device": "cpu", **settings}
    JobFolder(place.out / "job").create(parse_config(ApplyConfig, values))
    return ["run", place.out / "job"]


def apply_itself(place: Any, *inputs: Path, model: Path | None = None) -> Words:
    return ["apply", model or place.trained, *inputs, "-o", place.out, "--device", "cpu"]


def with_model(name: str, change: Callable[[bytes], bytes]) -> Any:
    """A mistake: a file of the model that holds something else."""

    def spoil(place: Any) -> Words:
        path = place.trained / "model" / name
        path.write_bytes(change(path.read_bytes()))
        return apply(place)

    return spoil


def described(change: Callable[[dict[str, Any]], Any]) -> Any:
    """A mistake: a ``model.json`` that says something else."""

    def rewrite(content: bytes) -> bytes:
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    return with_model("model.json", rewrite)


def a_zip_of_other_things(place: Any) -> Words:
    with zipfile.ZipFile(place.root / "model.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    return apply(place, model=place.root / "model.zip")


def a_damaged_zip(place: Any) -> Words:
    with zipfile.ZipFile(place.root / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("model.json", "weights.safetensors"):
            archive.write(place.trained / "model" / name, name)
    content = bytearray((place.root / "model.zip").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    (place.root / "model.zip").write_bytes(content)
    return apply(place, model=place.root / "model.zip")


def one_unreadable(place: Any) -> Words:
    place.text("data/images/case_1.nii.gz", "hello")
    return apply_itself(place, place.data / "images")


def more_channels(place: Any) -> Words:
    image = sitk.ReadImage(str(place.image()))
    path = place.root / "two.nrrd"
    sitk.WriteImage(sitk.Compose(image, image), str(path))
    return apply(place, path)


def two_of_one_name(place: Any) -> Words:
    (place.root / "more").mkdir()
    shutil.copy(place.image(), place.root / "more")
    return apply(place, place.image(), place.root / "more")


def over_labels_by_hand(place: Any) -> Words:
    return apply(place, place.data / "images", output_dir=str(place.data / "labels"), output_format="nii.gz")


def over_the_images(place: Any) -> Words:
    return ["apply", place.trained, place.data / "images", "-o", place.data / "images", "--format", "nii.gz"]


def over_a_table(place: Any) -> Words:
    words = apply(place)
    (place.out / "results.csv").write_text("patient,age\n", encoding="utf-8")
    return words


def into_a_training(place: Any) -> Words:
    place.trained.rename(place.root / "job")
    return ["apply", place.root / "job", place.image(), "-o", place.root]


RECORDS = ("out/made.jsonl", "out/results.csv", "out/results.json")  # which say what failed, and why
LABEL_MAPS = tuple(f"out/case_{index}.seg.nrrd" for index in (0, 2, 3))
APPLY = {
    "no model": (lambda p: apply_itself(p, p.image(), model=p.root / "m"), ("m does not exist", "Check"), 2),
    "no image": (lambda p: apply_itself(p, p.root / "x.nii.gz"), ("x.nii.gz does not exist", "Check"), 2),
    "an unknown format": (lambda p: [*apply_itself(p, p.image()), "--format", "gif"], ("'gif'", "'nii.gz'"), 2),
    "too much overlap": (lambda p: [*apply_itself(p, p.image()), "--overlap", "1"], ("overlap = 1", "most 0.9"), 2),
    "a folder for a model": (lambda p: apply(p, model=p.data), ("data holds no model", "model.json"), 1, "out/job"),
    "an image for a model": (lambda p: apply(p, model=p.image()), ("case_1.nii.gz is no model",), 1, "out/job"),
    "a zip of other things": (a_zip_of_other_things, ("model.zip is no model", "lacks model.json"), 1, "out/job"),
    "a damaged zip": (a_damaged_zip, ("model.zip", "Give a model folder"), 1, "out/job"),
    "a description that is no JSON": (
        with_model("model.json", lambda content: content[:100]),
        ("trained is no model", "model.json is damaged"),
        1,
        "out/job",
    ),
    "damaged weights": (
        with_model("weights.safetensors", lambda content: content[:-50]),
        ("trained: weights.safetensors is damaged", "Copy the model again"),
        1,
        "out/job",
    ),
    "a model of the future": (
        described(lambda document: document.update(schema_version=9)),
        ("trained has model format 9", "this version reads 1", "Update"),
        1,
        "out/job",
    ),
    "a network of the future": (
        described(lambda document: document["plan"].update(architecture="Oracle")),
        ("'Oracle' is no known network", "PlannedUNet"),
        1,
        "out/job",
    ),
    "another network than the weights": (
        described(lambda document: document["plan"]["network"].update(features=[8, 8])),
        ("PlannedUNet",),
        1,
        "out/job",
    ),
    "a description without its network": (
        described(lambda document: document["plan"].update(network={})),
        ("PlannedUNet", "does not fit"),
        1,
        "out/job",
    ),
    "too many channels": (more_channels, ("two.nrrd", "2 channels", "needs 1"), 1, "out/job", RECORDS),
    "a folder without images": (lambda p: apply(p, p.trained / "model"), ("model holds no image files",), 2, "out/job"),
    "two inputs of one name": (two_of_one_name, ("named case_1", "more", "output folder"), 2, "out/job"),
    "results over labels": (over_labels_by_hand, ("4 of 4", "labels", "Choose another"), 2, "out/job"),
    "results over the images": (over_the_images, ("4 of 4", "images", "Choose another"), 2, "data/images/job"),
    "somebody's table in the way": (over_a_table, ("results.csv", "did not write it", "Rename"), 2, "out/job"),
    "results into a training": (into_a_training, ("job already holds a trained job", "Choose another folder")),
    "an unreadable image among good ones": (
        one_unreadable,
        ("1 of 4 images were not segmented", "case_1.nii.gz cannot be read", "Replace"),
        1,
        "out/job",
        (*LABEL_MAPS, *RECORDS),
    ),
}


@pytest.mark.parametrize("mistake", APPLY.values(), ids=APPLY.keys())
def test_apply(check: Callable[..., None], mistake: tuple[Any, ...]) -> None:
    check(*mistake)


def evaluate(place: Any, predictions: Path, labels: Path | None = None) -> Words:
    """What 'evaluate' does, but without a process of its own."""
    values = {"predictions": predictions, "labels": labels or place.data, "output_dir": place.out}
    config = parse_config(EvaluateConfig, {name: str(path) for name, path in values.items()})
    JobFolder(place.out / "job").create(config)
    return ["run", place.out / "job"]


def other_names(place: Any) -> Words:
    shutil.copy(place.label(), place.text("found/x", "").with_name("patient.nii.gz"))
    return evaluate(place, place.root / "found")


def another_grid(place: Any) -> Words:
    place.text("found/x", "")
    shutil.copy(place.label(), place.root / "found")
    place.change(place.root / "found" / "case_1.nii.gz", lambda array: array[:, 1:])
    return ["evaluate", place.root / "found", place.data, "-o", place.out]


EVALUATE = {
    "no folder": (lambda p: ["evaluate", p.root / "x", p.data, "-o", p.out], ("x does not exist", "Check"), 2),
    "nothing in common": (other_names, ("No prediction in", "found", "patient", "case_0", "names"), 1, "out/job"),
    "no label maps": (lambda p: evaluate(p, p.trained / "model"), ("model has no label maps", "Check"), 1, "out/job"),
    "images for labels": (lambda p: evaluate(p, p.data / "images"), ("case_0", "whole numbers"), 1, "out/job"),
    "different grids": (another_grid, ("case_1", "different grids", "size", "Resample"), 1, "out/job"),
}


@pytest.mark.parametrize("mistake", EVALUATE.values(), ids=EVALUATE.keys())
def test_evaluate(check: Callable[..., None], mistake: tuple[Any, ...]) -> None:
    check(*mistake)
