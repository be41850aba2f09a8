"""Suggestions of models that were never trained, on small volumes of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.job_settings import SuggestConfig
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.rankings import RANKINGS
from MedSegTrainerLib.errors import ConfigError, DataError, UsageError
from MedSegTrainerLib.events import EventReader, Progress
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.job import STOP_NOW, JobFolder
from MedSegTrainerLib.jobs.context import JobContext
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.jobs.suggest import run_suggest
from MedSegTrainerLib.model.package import ModelPackage, save_package
from MedSegTrainerLib.networks import build_network

TILT = (0.98, -0.199, 0.0, 0.199, 0.98, 0.0, 0.0, 0.0, 1.0)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
FORM = (14, 9, 7)  # x, y, z


class Unwatched:
    """The owner of a job whose status nobody reads."""

    def update(self, **values: Any) -> None:
        assert values


def write_images(folder: Path, names: str = "abc", size: tuple[int, int, int] = FORM) -> Path:
    """Volumes of noise on grids that lie differently in the patient."""
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        grid = Geometry(
            size=size, spacing=(0.9, 1.2, 2.4), origin=(7.0, -4.0, 30.0), direction=FLIPPED if index % 2 else TILT
        )
        noise = np.random.default_rng(index).normal(size=grid.size_zyx).astype(np.float32)
        sitk.WriteImage(grid.place(noise), str(folder / f"{name}.nii.gz"))
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


@pytest.fixture
def model(package: ModelPackage, tmp_path: Path) -> Path:
    save_package(package, tmp_path / "model")
    return tmp_path / "model"


def settings(model: Path, images: Path, out: Path, **given: Any) -> SuggestConfig:
    paths = {"model": str(model), "inputs": [str(images)], "output_dir": str(out), "device": "cpu"}
    config: SuggestConfig = parse_config(SuggestConfig, {**paths, **given})
    return config


def run(model: Path, images: Path, out: Path, **given: Any) -> dict[str, Any]:
    folder = JobFolder(out / "job")
    run_job(folder.path, expect=folder.create(settings(model, images, out, **given)))
    document: dict[str, Any] = json.loads((out / "suggestions.json").read_text(encoding="utf-8"))
    return document


def model_of(plan: Plan, folder: Path, bias: list[float] | None = None) -> Path:
    """A model with random weights; ``bias`` of the last layer decides what it sees."""
    torch.manual_seed(4)
    weights = build_network(plan.architecture, plan.network).state_dict()
    if bias is not None:
        last = [name for name, value in weights.items() if name.endswith("bias") and len(value) == plan.out_channels]
        weights[last[-1]] = torch.tensor(bias)
    save_package(ModelPackage(plan=plan, weights=weights), folder)
    return folder


@pytest.mark.parametrize("ranking", RANKINGS)
def test_what_is_written(model: Path, images: Path, tmp_path: Path, ranking: str) -> None:
    out = tmp_path / "out"
    document = run(model, images, out, ranking=ranking, count=4, seed=3)
    assert {key: document[key] for key in ("schema_version", "ranking", "seed", "images", "notes")} == {
        "schema_version": 1, "ranking": ranking, "seed": 3, "images": 3, "notes": []
    }  # fmt: skip
    assert len(document["suggestions"]) == 4
    assert {item["case"] for item in document["suggestions"]} == {"a", "b", "c"}
    for item in document["suggestions"]:
        assert item["axis"] == "z" and 0 <= item["slice"] < FORM[2]
        assert item["class"] in ("kidney", "cyst") and item["reason"] == RANKINGS[ranking].reason
        assert item["images"] == [str(images / f"{item['case']}.nii.gz")]
        _check_files(out, item)
    page = (out / "suggestions.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 4 and "http" not in page
    assert sorted(path.name for path in (out / "predictions").iterdir()) == [f"{name}.seg.nrrd" for name in "abc"]


def _check_files(out: Path, item: dict[str, Any]) -> None:
    """Grids are those of the image, values in their range, and the centre lies in the slice."""
    image = sitk.ReadImage(item["images"][0])
    for key in ("prediction", "uncertainty"):
        written = sitk.ReadImage(str(out / item[key]))
        assert not Geometry.of(written).disagreements(Geometry.of(image))
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(out / item["uncertainty"])))
    assert values.dtype == np.float32 and 0 <= values.min() < values.max() <= 1
    x, y, z = item["center_ras"]
    index = image.TransformPhysicalPointToIndex((-x, -y, z))
    assert index[2] == item["slice"]


def test_the_same_seed_gives_the_same(model: Path, images: Path, tmp_path: Path) -> None:
    first = run(model, images, tmp_path / "1", seed=7)
    assert run(model, images, tmp_path / "2", seed=7) == first
    others = [run(model, images, tmp_path / str(seed), seed=seed)["suggestions"] for seed in (8, 9, 10)]
    assert any(other != first["suggestions"] for other in others)


class TestDrawn:
    def test_slices_that_are_drawn_are_never_suggested_and_keep_their_axis(
        self, model: Path, images: Path, tmp_path: Path
    ) -> None:
        drawn = {"a": {"axis": "x", "slices": [*range(5), *range(7, 14)]}}
        document = run(model, images, tmp_path / "out", count=30, drawn=drawn)
        places = [(item["axis"], item["slice"]) for item in document["suggestions"] if item["case"] == "a"]
        assert sorted(places) == [("x", 5), ("x", 6)]
        others = [item["slice"] for item in document["suggestions"] if item["case"] == "b"]
        assert sorted(others) == [*range(FORM[2])]
        assert len(document["suggestions"]) == 16
        assert document["notes"] == ["16 slices are suggested, not 30: no more are there that nobody has drawn."]

    def test_where_all_is_drawn_nothing_is_suggested(self, model: Path, images: Path, tmp_path: Path) -> None:
        drawn = {name: {"axis": "y", "slices": [*range(FORM[1])]} for name in "abc"}
        out = tmp_path / "out"
        assert run(model, images, out, drawn=drawn)["suggestions"] == []
        assert "No slice is left" in (out / "suggestions.html").read_text(encoding="utf-8")

    def test_of_an_image_that_is_not_there(self, model: Path, images: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"drawn in aa, and no image has this name. Did you mean 'a'"):
            run(model, images, tmp_path / "out", drawn={"aa": {"axis": "z", "slices": [1]}})

    def test_a_slice_that_is_not_there(self, model: Path, images: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"1 of 3 images could not be looked at.*\n.*b has 7 slices along z"):
            run(model, images, tmp_path / "out", drawn={"b": {"axis": "z", "slices": [7]}})

    def test_along_another_axis_than_the_one_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"slice_axis = 'y' and drawn.a.axis = 'z': the slices of an image must"):
            settings(tmp_path, tmp_path, tmp_path, slice_axis="y", drawn={"a": {"axis": "z", "slices": [1]}})

    @pytest.mark.parametrize(
        "entry", [{"axis": "w", "slices": [1]}, {"axis": "z", "slices": ["one"]}, {"axis": "z"}, 3]
    )
    def test_in_another_form(self, tmp_path: Path, entry: Any) -> None:
        with pytest.raises(ConfigError, match="drawn"):
            settings(tmp_path, tmp_path, tmp_path, drawn={"a": entry})


class TestKindsOfModels:
    def test_classes_that_overlap(self, tiny_plan: Plan, images: Path, tmp_path: Path) -> None:
        classes = tuple(
            LabelClass(value=value, name=name, color=(9, 9, 9)) for value, name in ((1, "body"), (2, "head"))
        )
        plan = replace(tiny_plan, classes=classes, overlapping=True, network={**tiny_plan.network, "out_channels": 2})
        document = run(model_of(plan, tmp_path / "m"), images, tmp_path / "out", count=4)
        assert {item["class"] for item in document["suggestions"]} == {"body", "head"}
        for item in document["suggestions"]:
            _check_files(tmp_path / "out", item)

    def test_an_ensemble(self, package: ModelPackage, model: Path, images: Path, tmp_path: Path) -> None:
        other = model_of(package.plan, tmp_path / "other")
        alone = run(model, images, tmp_path / "1", ranking="entropy")
        both = run(model, images, tmp_path / "2", ranking="entropy", models=[str(other)])
        assert both["models"] == [str(model), str(other)]
        assert [item["score"] for item in both["suggestions"]] != [item["score"] for item in alone["suggestions"]]

    def test_several_channels(self, tiny_plan: Plan, tmp_path: Path) -> None:
        plan = replace(
            tiny_plan,
            normalization=2 * tiny_plan.normalization,
            channel_names=("T1", "T2"),
            network={**tiny_plan.network, "in_channels": 2},
        )
        first, second = (write_images(tmp_path / name) for name in ("t1", "t2"))
        cases = {name: [str(folder / f"{name}.nii.gz") for folder in (first, second)] for name in "ab"}
        document = run(model_of(plan, tmp_path / "m"), first, tmp_path / "out", inputs=[], cases=cases, count=2)
        assert sorted(item["images"] for item in document["suggestions"]) == [*cases.values()]

    def test_a_2d_model_suggests_the_slices_that_it_sees(self, tiny_plan: Plan, images: Path, tmp_path: Path) -> None:
        network = {**tiny_plan.network, "dims": 2, "strides": [[1, 1], [2, 2]], "kernels": [[3, 3], [3, 3]]}
        plan = replace(tiny_plan, dims=2, patch_size=(1, 8, 8), network=network, slice_axis="y", divisor=(1, 2, 2))
        document = run(model_of(plan, tmp_path / "m"), images, tmp_path / "out", count=3)
        assert {item["axis"] for item in document["suggestions"]} == {"y"}
        for item in document["suggestions"]:
            image = sitk.ReadImage(item["images"][0])
            x, y, z = item["center_ras"]
            assert image.TransformPhysicalPointToIndex((-x, -y, z))[1] == item["slice"]

    def test_pictures(self, tiny_plan: Plan, tmp_path: Path) -> None:
        network = {**tiny_plan.network, "dims": 2, "strides": [[1, 1], [2, 2]], "kernels": [[3, 3], [3, 3]]}
        plan = replace(tiny_plan, dims=2, patch_size=(1, 8, 8), network=network, divisor=(1, 2, 2), image_size=(16, 16))
        (tmp_path / "photos").mkdir()
        for name in "abcd":
            pixels = np.random.default_rng(ord(name)).integers(0, 255, (13, 16), np.uint8)
            sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / "photos" / f"{name}.png"))
        document = run(model_of(plan, tmp_path / "m"), tmp_path / "photos", tmp_path / "out", count=3, slice_axis="x")
        assert [(item["axis"], item["slice"]) for item in document["suggestions"]] == 3 * [("z", 0)]
        assert len({item["case"] for item in document["suggestions"]}) == 3


class TestWhatIsNotSeen:
    def test_no_class_anywhere(self, tiny_plan: Plan, images: Path, tmp_path: Path) -> None:
        blind = model_of(tiny_plan, tmp_path / "m", bias=[50.0, 0.0, 0.0])
        document = run(blind, images, tmp_path / "out")
        assert len(document["suggestions"]) == 5
        (note,) = document["notes"]
        assert note.startswith("The model sees none of its classes in any of these images") and "entropy" in note
        document = run(blind, images, tmp_path / "random", ranking="random-foreground")
        assert "at random" in document["notes"][0]
        assert {item["class"] for item in document["suggestions"]} == {""}
        assert {item["text"] for item in document["suggestions"]} == {"chosen at random: the model sees nothing in it"}

    def test_one_class_that_is_seen_nowhere_has_its_turn(self, tiny_plan: Plan, images: Path, tmp_path: Path) -> None:
        document = run(model_of(tiny_plan, tmp_path / "m", bias=[0.0, 0.0, -9.0]), images, tmp_path / "out", count=4)
        texts = {item["class"]: item["text"] for item in document["suggestions"]}
        assert texts["cyst"] == "the model sees the cyst in no image so far, and comes nearest to it here"
        assert texts["kidney"].startswith("the model is unsure about the kidney")


class TestTheJob:
    def test_events(self, model: Path, images: Path, tmp_path: Path) -> None:
        document = run(model, images, tmp_path / "out", count=2)
        folder = JobFolder(tmp_path / "out" / "job")
        events = EventReader(folder.events_file).read()
        stage = next(event for event in events if event["kind"] == "stage")
        assert (stage["name"], stage["total"]) == ("suggest", 3000)
        assert [event["done"] for event in events if event["kind"] == "progress"][-1] == 3000
        assert [event["name"] for event in events if event["kind"] == "case"] == ["a", "b", "c"]
        suggested = [event for event in events if event["kind"] == "suggested"]
        assert [(event["case"], event["slice"], event["message"]) for event in suggested] == [
            (item["case"], item["slice"], item["text"]) for item in document["suggestions"]
        ]
        assert events[-1]["kind"] == "finished"
        assert events[-1]["message"] == f"2 suggestions are in {tmp_path / 'out'}"
        assert folder.status().state == "finished"

    def test_names_of_images_are_not_in_the_log(self, model: Path, tmp_path: Path) -> None:
        """But of the files that could not be read; it is what people send around."""
        run(model, write_images(tmp_path / "images", "Z"), tmp_path / "out")
        log = (tmp_path / "out" / "job" / "log.txt").read_text(encoding="utf-8")
        assert "suggested:" in log and "Z" not in log.replace(str(tmp_path), "")

    def test_an_image_that_cannot_be_read_keeps_no_other_from_being_suggested(
        self, model: Path, images: Path, tmp_path: Path
    ) -> None:
        (images / "b.nii.gz").write_bytes(b"no image")
        with pytest.raises(DataError, match=r"1 of 3 images could not be looked at. 5 suggestions are in") as caught:
            run(model, images, tmp_path / "out")
        assert "b.nii.gz" in str(caught.value)
        document = json.loads((tmp_path / "out" / "suggestions.json").read_text(encoding="utf-8"))
        assert {item["case"] for item in document["suggestions"]} == {"a", "c"}

    def test_stopped_after_the_first_image(self, model: Path, images: Path, tmp_path: Path) -> None:
        """What was looked at until then is suggested of."""
        out = tmp_path / "out"
        folder = JobFolder(out / "job")
        config = settings(model, images, out, count=2)
        folder.create(config)

        def emit(event: object) -> None:
            if isinstance(event, Progress):
                folder.request_stop(STOP_NOW)

        outcome = run_suggest(config, JobContext(folder=folder, owner=Unwatched(), emit=emit, started=0))  # type: ignore[arg-type]
        assert outcome.stopped == STOP_NOW
        assert outcome.message.startswith("Stopped after 1 of 3 images. 2 suggestions are in")
        document = json.loads((out / "suggestions.json").read_text(encoding="utf-8"))
        assert {item["case"] for item in document["suggestions"]} == {"a"}

    def test_a_prediction_that_somebody_corrected_stays(self, model: Path, images: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        first = run(model, images, out)
        assert run(model, images, out) == first  # what it made itself it makes again
        corrected = out / "predictions" / "b.seg.nrrd"
        corrected.write_bytes(corrected.read_bytes() + b" ")
        content = corrected.read_bytes()
        with pytest.raises(UsageError, match=r"1 of 3 predictions are there already and stay as they are"):
            run(model, images, out)
        assert corrected.read_bytes() == content and (out / "suggestions.json").exists()

    @pytest.mark.parametrize("name", ["suggestions.json", "suggestions.html"])
    def test_a_file_of_somebody_else_stays(self, model: Path, images: Path, tmp_path: Path, name: str) -> None:
        (tmp_path / "out").mkdir()
        mine = tmp_path / "out" / name
        mine.write_text("my own", encoding="utf-8")
        with pytest.raises(UsageError, match=rf"{name} is there already and stays as it is"):
            run(model, images, tmp_path / "out")
        assert mine.read_text(encoding="utf-8") == "my own"
        assert {path.name for path in (tmp_path / "out").iterdir()} == {name, "job"}

    def test_nothing_to_look_at(self, model: Path, images: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no image to look at"):
            run(model, images, tmp_path / "out", inputs=[])


def test_an_image_unlike_the_training_is_suggested_first(
    package: ModelPackage, images: Path, tmp_path: Path, described: Callable[..., dict[str, Any]]
) -> None:
    save_package(replace(package, data=described(images)), tmp_path / "m")
    write_images(tmp_path / "large", "z", (14, 9, 70))
    document = run(tmp_path / "m", images, tmp_path / "out", inputs=[str(images), str(tmp_path / "large")])
    first, *others = document["suggestions"]
    assert (first["case"], first["reason"]) == ("z", "unlike")
    assert "; the image is unlike all cases so far: it has a field of view of 168 x" in first["text"]
    assert {item["reason"] for item in others} == {"unsure"}


@pytest.fixture
def described() -> Callable[[Path], dict[str, Any]]:
    """What a model keeps of the images that trained it, for those of a folder."""
    from MedSegTrainerLib.data.checks.scan import scan_cases
    from MedSegTrainerLib.data.dataset import Case
    from MedSegTrainerLib.model.data_profile import describe

    def make(folder: Path) -> dict[str, Any]:
        cases = []
        for path in sorted(folder.glob("*.nii.gz")):
            image = sitk.ReadImage(str(path))
            label = folder.parent / "labels" / path.name
            label.parent.mkdir(exist_ok=True)
            sitk.WriteImage(sitk.Cast(image > 0, sitk.sitkUInt8), str(label))
            cases.append(Case(name=path.name, images=(path,), label=label))
        return describe(scan_cases(cases), ["MR"])

    return make
