"""Model packages: rebuilt from a folder, a zip or a job, and refused with words when they are anything else."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.description import CARD, DESCRIPTION, LARGEST, WEIGHTS
from MedSegTrainerLib.model.package import (
    ModelPackage,
    load_members,
    load_package,
    save_description,
    save_ensemble,
    save_package,
)
from MedSegTrainerLib.networks import build_network


@pytest.fixture
def package(tiny_plan: Plan) -> ModelPackage:
    torch.manual_seed(4)
    network = build_network(tiny_plan.architecture, tiny_plan.network)
    return ModelPackage(
        plan=tiny_plan, weights=network.state_dict(), training={"epoch": 7}, metrics={"val_dice": 0.5}
    )  # fmt: skip


@pytest.fixture
def folder(package: ModelPackage, tmp_path: Path) -> Path:
    save_package(package, tmp_path / "model")
    return tmp_path / "model"


def zipped(folder: Path, path: Path, inside: str = "", method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in folder.iterdir():
            archive.write(file, inside + file.name)
    return path


def described(folder: Path, **changes: Any) -> None:
    """Changes entries of the description, or of its plan where they are given as ``plan_<name>``."""
    document = json.loads((folder / DESCRIPTION).read_text())
    for key, value in changes.items():
        target, name = (document["plan"], key[5:]) if key.startswith("plan_") else (document, key)
        target[name] = value
    (folder / DESCRIPTION).write_text(json.dumps(document))


class TestRoundTrip:
    def check(self, loaded: ModelPackage, expected: ModelPackage) -> None:
        assert (loaded.plan, loaded.training, loaded.metrics) == (expected.plan, expected.training, expected.metrics)
        assert loaded.weights.keys() == expected.weights.keys()
        assert all(torch.equal(value, expected.weights[name]) for name, value in loaded.weights.items())

    def test_folder(self, package: ModelPackage, folder: Path) -> None:
        assert sorted(path.name for path in folder.iterdir()) == [CARD, DESCRIPTION, WEIGHTS]
        self.check(load_package(folder), package)

    @pytest.mark.parametrize("inside", ["", "model/", "some/where/else/"])
    def test_zip_with_any_folder_in_it(self, package: ModelPackage, folder: Path, tmp_path: Path, inside: str) -> None:
        self.check(load_package(zipped(folder, tmp_path / "m.zip", inside)), package)

    def test_job_folder(self, package: ModelPackage, folder: Path) -> None:
        self.check(load_package(folder.parent), package)

    def test_the_network_is_rebuilt_in_evaluation_mode(self, package: ModelPackage, folder: Path) -> None:
        image = torch.randn(1, 1, 4, 8, 12)
        expected, loaded = package.build(), load_package(folder).build()
        assert not loaded.training
        assert torch.equal(loaded(image)[0], expected(image)[0])

    def test_channels_last_weights_are_saved_as_they_are_meant(self, package: ModelPackage, tmp_path: Path) -> None:
        turned = {
            name: value.contiguous(memory_format=torch.channels_last_3d) if value.ndim == 5 else value
            for name, value in package.weights.items()
        }
        save_package(replace(package, weights=turned), tmp_path / "turned")
        self.check(load_package(tmp_path / "turned"), package)

    def test_new_metrics_leave_the_weights_alone(self, package: ModelPackage, folder: Path) -> None:
        before = (folder / WEIGHTS).stat().st_mtime_ns
        save_description(replace(package, metrics={"test_dice": 0.9}), folder)
        assert load_package(folder).metrics == {"test_dice": 0.9}
        assert (folder / WEIGHTS).stat().st_mtime_ns == before


class TestMissing:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="does not exist"):
            load_package(tmp_path / "nowhere")

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=rf"holds no model.*{DESCRIPTION} and {WEIGHTS}"):
            load_package(tmp_path)

    def test_a_job_that_has_not_got_so_far(self, tmp_path: Path) -> None:
        (tmp_path / "job.json").write_text("{}")
        with pytest.raises(ModelError, match="no model yet"):
            load_package(tmp_path)

    @pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
    def test_a_file_is_missing_in_a_folder(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(ModelError, match="holds no model"):
            load_package(folder)

    @pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
    def test_a_member_is_missing_in_a_zip(self, folder: Path, tmp_path: Path, name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(ModelError, match="the zip lacks"):
            load_package(zipped(folder, tmp_path / "m.zip"))


class TestDamage:
    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "{}", "[" * 100_000, '{"schema_version": 1}'])
    def test_description(self, folder: Path, text: str) -> None:
        (folder / DESCRIPTION).write_text(text)
        with pytest.raises(ModelError, match=rf"{DESCRIPTION} is damaged"):
            load_package(folder)

    def test_description_that_is_no_text(self, folder: Path) -> None:
        (folder / DESCRIPTION).write_bytes(b"\xff\xfe\xfa" * 9)
        with pytest.raises(ModelError, match="damaged"):
            load_package(folder)

    @pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
    def test_weights_cut_short(self, folder: Path, share: float) -> None:
        content = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(content[: int(share * len(content))])
        with pytest.raises(ModelError, match=rf"{WEIGHTS} is damaged"):
            load_package(folder)

    @pytest.mark.parametrize(
        "change", [{"plan_surprise": 1}, {"plan_classes": [1]}, {"plan_patch_size": None}, {"plan": []}]
    )
    def test_plan(self, folder: Path, change: dict[str, Any]) -> None:
        described(folder, **change)
        with pytest.raises(ModelError):
            load_package(folder)

    def test_another_version_is_named(self, folder: Path) -> None:
        described(folder, schema_version=99)
        with pytest.raises(ModelError, match="model format 99; this version reads 1"):
            load_package(folder)

    def test_weights_of_another_network(self, folder: Path, package: ModelPackage) -> None:
        described(folder, plan_network={**package.plan.network, "features": [4, 7]})
        with pytest.raises(ModelError, match=r"another network than PlannedUNet.*instead of F32 \[7, 4, 3, 3, 3\]"):
            load_package(folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"plan_spacing": [-1, 1, 1]}, "spacing = [-1.0, 1.0, 1.0]: must be 0.001 to 1000 mm"),
            ({"plan_spacing": [1e300, 1, 1]}, "spacing = [1e+300, 1.0, 1.0]"),
            ({"plan_spacing": [float("inf"), 1, 1]}, "inf is no finite number"),
            ({"plan_normalization": [{"method": "magic"}]}, "normalization.0.method = 'magic'"),
            ({"plan_patch_size": [512, 512, 2**14]}, "must have at most 134217728 voxels"),
            ({"plan_warmup_epochs": -1e12}, "warmup_epochs"),
            ({"plan_loss": {"loss_type": "dice", "smooth": -1}}, "loss.smooth = -1.0: must be at least 0"),
            ({"plan_dims": "3"}, "dims = '3': Input should be a valid integer"),
            ({"training": 7}, "training must be an object"),
            ({"curves": {}}, "curves must be a list"),
            ({"colour": "red"}, "'colour' is unknown, as of a later version"),
            ({"postprocessing": [{"value": 3}]}, "postprocessing"),
            ({"postprocessing": [{"value": 4, "name": "?"}]}, "cleans classes that the plan does not have"),
            ({"data": {"schema_version": 1, "channels": []}}, "data.cases"),
        ],
        ids=str,
    )
    def test_every_entry_is_looked_at(self, folder: Path, change: dict[str, Any], message: str) -> None:
        described(folder, **change)
        with pytest.raises(ModelError) as refused:
            load_package(folder)
        assert message in str(refused.value) and "model.json is damaged, or of a later version" in str(refused.value)

    @pytest.mark.parametrize(
        ("network", "message"),
        [
            ({"features": [3000, 3000]}, "of another shape or type: "),
            ({"blocks": [10**6, 1]}, "network.blocks = [1000000, 1]: must be 0 to 1000"),
            ({"in_channels": 2}, "network.in_channels = 2: the rest of the plan says 1"),
            ({"out_channels": 9}, "network.out_channels = 9: the rest of the plan says 3"),
            ({"kernels": [[2, 2, 2], [3, 3, 3]]}, "must be odd"),
            ({"strides": [[1, 1, "1"], [1, 2, 2]]}, "network.strides: must have 3 whole numbers a level"),
            ({"kernels": [[3, 3, {}], [3, 3, 3]]}, "network.kernels"),
            ({"deep_supervision": [1]}, "must be true or false"),
            ({"strides": [[1, 1], [2, 2]]}, "network.strides: must have 3 whole numbers a level"),
            ({"surprise": True}, "cannot be built"),
        ],
    )  # fmt: skip
    def test_a_network_that_is_none_is_refused_in_no_time(
        self, folder: Path, package: ModelPackage, network: dict[str, Any], message: str
    ) -> None:
        described(folder, plan_network={**package.plan.network, **network})
        with pytest.raises(ModelError) as refused:
            load_package(folder)
        assert message in str(refused.value)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ([{"value": 10**12}], "1000000000000 is no label value"),
            ([{"value": 0}], "0 is no label value"),
            ([{"value": 5}, {"value": 5}], "two have the same value"),
            ([{"name": "a"}, {"name": "a"}], "two have the same name"),
            ([{"name": " "}], "' ' is no name"),
            ([{"name": "a\x1b[2J"}], "is no name"),
            ([{"color": [0, 0, 256]}], "is no color"),
        ],
    )
    def test_classes(self, folder: Path, package: ModelPackage, changes: list[dict[str, Any]], message: str) -> None:
        classes = package.plan.to_json()["classes"]
        for entry, change in zip(classes, changes, strict=False):
            entry |= change
        described(folder, plan_classes=classes)
        with pytest.raises(ModelError) as refused:
            load_package(folder)
        assert message in str(refused.value)

    def test_all_problems_at_once(self, folder: Path) -> None:
        described(folder, plan_spacing=[0, 1, 1], plan_flip_axes=[9], plan_batch_size=0)
        with pytest.raises(ModelError, match=r"(?s)batch_size = 0.*spacing = .*flip_axes = \[9\]"):
            load_package(folder)

    def test_a_network_this_version_does_not_know(self, folder: Path) -> None:
        described(folder, plan_architecture="TomorrowNet")
        with pytest.raises(ModelError, match="no known network"):
            load_package(folder)

    def test_no_zip(self, tmp_path: Path) -> None:
        (tmp_path / "m.zip").write_bytes(b"PK" + b"\0" * 500)
        with pytest.raises(ModelError, match="cannot be read as a zip"):
            load_package(tmp_path / "m.zip")

    @pytest.mark.parametrize("start", [60, 0.3, 0.6, 0.98])
    def test_a_zip_with_a_hole_in_it(self, folder: Path, tmp_path: Path, start: float) -> None:
        path = zipped(folder, tmp_path / "m.zip")
        content = bytearray(path.read_bytes())
        first = int(start if start > 1 else start * len(content))
        content[first : first + 12] = b"\xff" * 12
        path.write_bytes(content)
        with pytest.raises(ModelError):
            load_package(path)

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    @pytest.mark.parametrize("size", [1, 3000])
    def test_a_damaged_zip_of_any_kind(self, folder: Path, tmp_path: Path, method: int, size: int) -> None:
        path = zipped(folder, tmp_path / "m.zip", method=method)
        whole = path.read_bytes()
        for start in (*range(8, 120, 4), *range(120, len(whole), max(1, len(whole) // 20))):
            path.write_bytes(whole[:start] + b"\xff" * size + whole[start + size :])
            try:
                load_package(path)
            except ModelError as error:
                assert "m.zip" in str(error)

    def test_a_zip_with_a_password(self, folder: Path, tmp_path: Path) -> None:
        path = zipped(folder, tmp_path / "m.zip")
        content = bytearray(path.read_bytes())
        content[6] |= 1  # "encrypted" in the header of the first member, and in its entry in the table
        content[content.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(content)
        with pytest.raises(ModelError, match="encrypted"):
            load_package(path)


VALUES = (None, True, -1, 1e300, float("nan"), 10**30, "\x1b[2J", [], {}, [[1] * 3] * 200)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a value of JSON, of long lists only the first two."""
    for key in value if isinstance(value, dict) else range(min(2, len(value))) if isinstance(value, list) else ():
        yield (*path, key)
        yield from paths(value[key], (*path, key))


def test_whatever_stands_in_a_description_there_are_words_for_it(folder: Path, package: ModelPackage) -> None:
    """Each entry replaced by several values, another few in turn, and left out: a model, or a ModelError."""
    save_package(replace(package, postprocessing=[{"value": 3, "name": "kidney"}]), folder)
    document = json.loads((folder / DESCRIPTION).read_text())
    seen = 0
    for number, path in enumerate(paths(document)):
        for value in (*VALUES[number % 5 :: 5], "left out"):
            changed = copy.deepcopy(document)
            target = changed
            for key in path[:-1]:
                target = target[key]
            if value == "left out":
                del target[path[-1]]
            else:
                target[path[-1]] = value
            (folder / DESCRIPTION).write_text(json.dumps(changed))
            with suppress(ModelError):
                load_members(folder)
            seen += 1
    assert seen > 300


class Intruder:
    """What a pickle can do to whoever opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.path), 0o755)


class TestSafety:
    @pytest.mark.parametrize("writer", ["pickle", "torch"])
    def test_a_pickle_in_place_of_the_weights_is_refused_unopened(
        self, folder: Path, tmp_path: Path, writer: str
    ) -> None:
        intruder = {"heads.0.weight": Intruder(tmp_path / "broken in")}
        if writer == "pickle":
            (folder / WEIGHTS).write_bytes(pickle.dumps(intruder))
        else:
            torch.save(intruder, folder / WEIGHTS)
        with pytest.raises(ModelError, match="damaged"):
            load_package(folder)
        assert not (tmp_path / "broken in").exists()

    @pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
    def test_a_zip_bomb_is_not_opened(self, folder: Path, tmp_path: Path, name: str) -> None:
        path = tmp_path / "bomb.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in folder.iterdir():
                archive.write(file, file.name)
            archive.getinfo(name).file_size = LARGEST[name] + 1  # the table of the zip is written on closing
        with pytest.raises(ModelError, match=rf"{name} claims {LARGEST[name] + 1} bytes"):
            load_package(path)

    def test_members_with_paths_that_lead_out_write_nothing(self, folder: Path, tmp_path: Path) -> None:
        path = zipped(folder, tmp_path / "m.zip", "../../")
        shutil.rmtree(folder)
        load_package(path)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["m.zip"]
        assert not (tmp_path.parent / WEIGHTS).exists()


class TestEnsemble:
    @pytest.fixture
    def members(self, package: ModelPackage) -> list[ModelPackage]:
        """Two models that differ in weights and in how they were made."""
        other = {name: value + 1 for name, value in package.weights.items()}
        return [package, replace(package, weights=other, training={"epoch": 9}, curves=[{"epoch": 1}])]

    @pytest.fixture
    def ensemble(self, members: list[ModelPackage], tmp_path: Path) -> Path:
        save_ensemble(members, tmp_path / "model", training={"folds": 2}, metrics={"val_dice": 0.7})
        return tmp_path / "model"

    def test_every_member_comes_back(self, members: list[ModelPackage], ensemble: Path) -> None:
        loaded = load_members(ensemble)
        assert [(one.plan, one.training, one.curves) for one in loaded] == [
            (one.plan, one.training, one.curves) for one in members
        ]
        for one, expected in zip(loaded, members, strict=True):
            assert all(torch.equal(value, expected.weights[name]) for name, value in one.weights.items())

    def test_from_a_zip_and_from_its_job(self, ensemble: Path, tmp_path: Path) -> None:
        assert len(load_members(zipped(ensemble, tmp_path / "m.zip", "model/"))) == 2
        assert len(load_members(ensemble.parent)) == 2

    def test_the_description_is_of_all_of_them(self, ensemble: Path) -> None:
        document = json.loads((ensemble / DESCRIPTION).read_text())
        assert (document["training"], document["metrics"]) == ({"folds": 2}, {"val_dice": 0.7})
        assert [member["weights"] for member in document["members"]] == [WEIGHTS, "weights_1.safetensors"]

    def test_its_card_is_of_all_of_them(self, ensemble: Path) -> None:
        page = (ensemble / CARD).read_text(encoding="utf-8")
        assert "an ensemble of 2 models" in page and "kidney (label 3)" in page

    def test_a_single_model_is_a_list_of_one(self, package: ModelPackage, folder: Path) -> None:
        (loaded,) = load_members(folder)
        assert loaded.training == package.training

    def test_it_is_not_taken_for_a_single_model(self, ensemble: Path) -> None:
        with pytest.raises(ModelError, match="is an ensemble of 2 models"):
            load_package(ensemble)

    def test_a_missing_member_is_named(self, ensemble: Path) -> None:
        (ensemble / "weights_1.safetensors").unlink()
        with pytest.raises(ModelError, match=r"weights_1.safetensors is missing"):
            load_members(ensemble)

    def test_too_many_members(self, ensemble: Path) -> None:
        document = json.loads((ensemble / DESCRIPTION).read_text())
        member = document["members"][1]
        for members in (
            [*document["members"], member],
            [{**member, "weights": f"weights_{i}.safetensors"} for i in range(300)],
        ):
            (ensemble / DESCRIPTION).write_text(json.dumps({**document, "members": members}))
            with pytest.raises(ModelError, match=rf"it has {len(members)} members"):
                load_members(ensemble)

    @pytest.mark.parametrize("name", ["../weights_1.safetensors", "/etc/passwd", "weights_1.pkl", 3, None])
    def test_members_lie_in_the_package(self, ensemble: Path, name: Any) -> None:
        document = json.loads((ensemble / DESCRIPTION).read_text())
        document["members"][1]["weights"] = name
        (ensemble / DESCRIPTION).write_text(json.dumps(document))
        with pytest.raises(ModelError, match="is damaged"):
            load_members(ensemble)

    def test_other_classes_are_refused(self, members: list[ModelPackage], tmp_path: Path) -> None:
        fewer = replace(members[1], plan=replace(members[1].plan, classes=members[1].plan.classes[:1]))
        with pytest.raises(ModelError, match="same classes"):
            save_ensemble([members[0], fewer], tmp_path / "m", training={}, metrics={})
