"""Published plans of nnU-Net, old and new, are plans of this program, or are refused by what is special in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.config.plan import Normalization, Preparation, Resampling
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.model.nnunet_plans import configuration_names, plan_entries

CASCADE, CUSTOM = "second stage of a cascade", "ResidualEncoderUNetWithClassifier"
REFUSED = {
    ("fdg_pet_ct", "3d_cascade_fullres"): CASCADE,
    ("flare23", "3d_cascade_fullres"): CASCADE,
    ("msd_lung", "3d_cascade_fullres"): CASCADE,
    ("nextou", "3d_cascade_fullres"): CASCADE,
    ("uppect", "3d_cascade_fullres"): CASCADE,
    ("vesuvius_resencM", "3d_cascade_fullres"): CASCADE,
    ("pancreas_resencM", "2d"): CUSTOM,
    ("pancreas_resencM", "3d_fullres"): CUSTOM,
}


def published(root: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Folder to plans and dataset.json; one of as many channels and two classes where it was not published."""
    found = {}
    for file in sorted((root / "nnunet_plans").glob("*/*lans.json")):
        plans = json.loads(file.read_text())
        channels = len(plans["foreground_intensity_properties_per_channel"])
        made = {
            "channel_names": {str(place): f"channel {place}" for place in range(channels)},
            "labels": {"background": 0, "a": 1, "b": 2},
        }
        dataset = file.parent / "dataset.json"
        found[file.parent.name] = plans, json.loads(dataset.read_text()) if dataset.exists() else made
    return found


def test_each_is_a_plan_or_refused_by_name(shared_data: Path) -> None:
    refused = {}
    for folder, (plans, dataset) in published(shared_data).items():
        for name in configuration_names(plans):
            entries, problems = plan_entries(plans, dataset, name, "nnUNetTrainer")
            if problems:
                refused[folder, name] = problems
            else:
                assert parse_plan(entries).preparation is not None
    assert refused.keys() == REFUSED.keys()
    assert all(
        word in problems[0] for (word, problems) in zip(map(REFUSED.get, refused), refused.values(), strict=True)
    )


def test_an_old_plan_by_hand(shared_data: Path) -> None:
    plans, dataset = published(shared_data)["flare23"]
    plan = parse_plan(plan_entries(plans, dataset, "3d_fullres", "nnUNetTrainer")[0])
    assert plan.architecture == "PlainConvUNet"
    assert plan.network["features"] == [32, 64, 128, 256, 320, 320]
    assert plan.patch_size == (48, 128, 160)
    assert plan.divisor == (8, 32, 32), "[1, 2, 2] twice on its way down"
    assert plan.normalization == (
        Normalization(method="ct", low=-969.0, high=277.0, mean=70.34545764431464, std=141.39995182092852),
    )
    assert [(item.value, item.name) for item in plan.classes][:2] == [(1, "Liver"), (2, "Right Kidney")]
    assert plan.preparation == Preparation(
        image=Resampling(order=3, order_z=0), logits=Resampling(order=1, order_z=0), transpose=(0, 1, 2)
    )


def test_two_dimensions_have_a_first_axis_of_slices(shared_data: Path) -> None:
    plans, dataset = published(shared_data)["stenunet_2d"]
    plan = parse_plan(plan_entries(plans, dataset, "2d", "nnUNetTrainer")[0])
    assert (plan.dims, plan.patch_size, plan.divisor) == (2, (1, 512, 512), (1, 128, 128))
    assert plan.flip_axes == (1, 2)
    assert plan.normalization == (Normalization(method="zscore"),)


def test_masked_and_unmasked_channels_and_batch_norm(shared_data: Path) -> None:
    plans, dataset = published(shared_data)["cs231n_brats"]
    plan = parse_plan(plan_entries(plans, dataset, "3d_fullres", "nnUNetTrainerBN")[0])
    assert plan.normalization == (Normalization(method="zscore", masked=True),) * 4
    assert plan.network["norm"] == "batch"
    plan = parse_plan(plan_entries(plans, dataset, "3d_fullres", "nnUNetTrainerNoDeepSupervision")[0])
    assert (plan.network["norm"], plan.network["deep_supervision"]) == ("instance", False)


@pytest.fixture
def plans(shared_data: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return published(shared_data)["uppect"]


def test_what_is_inherited(plans: tuple[dict[str, Any], dict[str, Any]]) -> None:
    plans[0]["configurations"]["finer"] = {"inherits_from": "3d_fullres", "spacing": [2.0, 0.5, 0.5]}
    entries, problems = plan_entries(*plans, "finer", "nnUNetTrainer")
    parent, _ = plan_entries(*plans, "3d_fullres", "nnUNetTrainer")
    assert problems == []
    assert entries["spacing"] == [2.0, 0.5, 0.5]
    assert entries["network"] == parent["network"]


@pytest.mark.parametrize(
    ("reader", "orientation"), [("SimpleITKIO", None), ("NibabelIO", None), ("NibabelIOWithReorient", "RAS")]
)
def test_readers(plans: tuple[dict[str, Any], dict[str, Any]], reader: str, orientation: str | None) -> None:
    plans[0].update({"image_reader_writer": reader, "transpose_forward": [2, 0, 1]})
    preparation = plan_entries(*plans, "3d_fullres", "nnUNetTrainer")[0]["preparation"]
    assert (preparation["orientation"], preparation["transpose"]) == (orientation, [2, 0, 1])


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("NoNormalization", {"method": "none"}),
        ("RescaleTo01Normalization", {"method": "minmax"}),
        ("RGBTo01Normalization", {"method": "ct", "low": 0.0, "high": 255.0, "mean": 0.0, "std": 255.0}),
    ],
)
def test_other_normalisations(
    plans: tuple[dict[str, Any], dict[str, Any]], scheme: str, expected: dict[str, Any]
) -> None:
    plans[0]["configurations"]["3d_fullres"]["normalization_schemes"] = [scheme]
    assert plan_entries(*plans, "3d_fullres", "nnUNetTrainer")[0]["normalization"] == [expected]


@pytest.mark.parametrize(("force", "separate"), [(None, "auto"), (True, "always"), (False, "never")])
def test_resampling(plans: tuple[dict[str, Any], dict[str, Any]], force: bool | None, separate: str) -> None:
    settings = plans[0]["configurations"]["3d_fullres"]
    settings["resampling_fn_data_kwargs"]["force_separate_z"] = force
    settings["resampling_fn_probabilities"] = "resample_torch_fornnunet"
    settings["resampling_fn_probabilities_kwargs"] = {"is_seg": False, "force_separate_z": None}
    preparation = plan_entries(*plans, "3d_fullres", "nnUNetTrainer")[0]["preparation"]
    assert preparation["image"] == {"order": 3, "order_z": 0, "separate_z": separate}
    assert preparation["logits"] == {"order": 1, "order_z": 0, "separate_z": "auto"}


def test_everything_that_is_wrong_is_told_at_once(plans: tuple[dict[str, Any], dict[str, Any]]) -> None:
    plans[0].update({"image_reader_writer": "MyIO", "label_manager": "MyManager"})
    plans[1]["labels"] = {"background": 0, "front": 7}
    _, problems = plan_entries(*plans, "3d_fullres", "nnUNetTrainer")
    assert len(problems) == 3
