"""2D networks on volumes whose slices lie along another axis than z: what they see, and where the result lies.

A volume that is turned so that its x becomes z must give, seen along z, to the voxel what it gives along x unturned.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.config.plan import AXES, Plan
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.samples.cache import CachedCase, cache_key
from MedSegTrainerLib.data.samples.preprocess import prepare_case
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.inference.probability_maps import MapSelection
from MedSegTrainerLib.inference.tta import choose_transforms
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.training.validation import Validator

CPU = torch.device("cpu")


def sliced(plan: Plan, axis: str = "z") -> Plan:
    """A 2D plan with neighbouring slices, in another spacing than the volume's."""
    network = {**plan.network, "dims": 2, "in_channels": 3, "strides": [[1, 1], [2, 2]], "kernels": [[3, 3], [3, 3]]}
    values = tuple(replace(item, value=value) for item, value in zip(plan.classes, (1, 2), strict=True))
    return replace(
        plan, dims=2, patch_size=(1, 8, 12), spacing=(9.0, 0.9, 0.7), neighbour_slices=1, network=network,
        classes=values, slice_axis=axis,
    )  # fmt: skip


def turned(image: sitk.Image, axis: str) -> sitk.Image:
    """The same voxels in a patient who is turned: what lay along the axes of a network lies along z, y and x."""
    pairs = [["xyz".index(old), "xyz".index(new)] for old, new in zip(AXES[axis], "zyx", strict=True)]
    turn = np.zeros((3, 3))
    for old, new in pairs:
        turn[new, old] = 1
    grid = Geometry.of(image)
    direction = turn @ np.array(grid.direction).reshape(3, 3)
    origin = turn @ np.array(grid.origin)
    moved = replace(grid, direction=tuple(direction.ravel()), origin=(origin[0], origin[1], origin[2]))
    return moved.place(sitk.GetArrayFromImage(image))


def package(plan: Plan) -> ModelPackage:
    torch.manual_seed(4)
    return ModelPackage(plan=plan, weights=build_network(plan.architecture, plan.network).state_dict())


def case(folder: Path, image: sitk.Image, label: sitk.Image) -> Case:
    folder.mkdir()
    for name, content in (("image", image), ("label", label)):
        sitk.WriteImage(content, str(folder / f"{name}.nrrd"))
    return Case(name=folder.name, images=(folder / "image.nrrd",), label=folder / "label.nrrd")


@pytest.mark.parametrize("axis", AXES)
def test_the_axis_comes_first_and_no_voxel_changes(oblique_case: tuple[sitk.Image, sitk.Image], axis: str) -> None:
    plain, turned_image = to_canonical(oblique_case[0]), to_canonical(oblique_case[0], axis)
    order = ["zyx".index(name) for name in AXES[axis]]
    assert np.array_equal(sitk.GetArrayFromImage(turned_image), sitk.GetArrayFromImage(plain).transpose(order))
    assert Geometry.of(to_canonical(turned_image)).disagreements(Geometry.of(plain)) == []


@pytest.mark.parametrize("axis", AXES)
def test_training_sees_the_turned_volume(
    tiny_plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, axis: str
) -> None:
    expected = prepare_case(case(tmp_path / "t", *(turned(one, axis) for one in oblique_case)), sliced(tiny_plan))
    prepared = prepare_case(case(tmp_path / "o", *oblique_case), sliced(tiny_plan, axis))
    assert np.allclose(prepared.image, expected.image, atol=1e-5) and np.array_equal(prepared.label, expected.label)
    assert np.array_equal(prepared.locations, expected.locations) and len(np.unique(prepared.label)) == 3


@pytest.mark.parametrize("axis", AXES)
def test_results_lie_where_the_image_lies(
    tiny_plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, axis: str
) -> None:
    image, maps = oblique_case[0], MapSelection(probabilities=True, uncertainty=True)
    results = []
    for plan, one in ((sliced(tiny_plan), turned(image, axis)), (sliced(tiny_plan, axis), image)):
        predictor = Predictor(package(plan), CPU)
        segmentation = predictor.segment(predictor.prepare([one]), maps=maps, spool=tmp_path)
        assert segmentation.probabilities is not None and segmentation.entropy is not None
        assert Geometry.of(segmentation.labels) == Geometry.of(one)
        brought = [
            segmentation.labels,
            segmentation.to_image(segmentation.entropy.astype(np.float32)),
            segmentation.to_image(segmentation.probabilities.read(0)),
        ]
        results.append([sitk.GetArrayFromImage(part) for part in brought])
        segmentation.probabilities.close()
    for expected, seen in zip(*results, strict=True):
        assert np.allclose(seen.astype(float), expected.astype(float), atol=2e-3)
    assert len(np.unique(results[1][0])) > 1


def test_who_watches_sees_canonical_axes(
    tiny_plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path
) -> None:
    plan = sliced(tiny_plan, "x")
    prepared = prepare_case(case(tmp_path / "a", *oblique_case), plan)
    stored = CachedCase(
        name="a", image=torch.from_numpy(prepared.image), label=torch.from_numpy(prepared.label),
        locations=torch.from_numpy(prepared.locations), geometry=prepared.geometry,
    )  # fmt: skip
    preview = Validator([stored], plan, CPU).score(dict(package(plan).weights)).preview
    assert preview is not None and preview.geometry.orientation() == "LPS"
    assert np.array_equal(preview.reference.transpose(2, 0, 1), prepared.label)
    assert preview.geometry.size_zyx == preview.image.shape == preview.prediction.shape


def test_mirrorings_go_by_the_name_of_the_axis(tiny_plan: Plan) -> None:
    plan = replace(sliced(tiny_plan, "x"), flip_axes=(1,))
    config = ApplyConfig(model="m", inputs=["i"], output_dir="o", tta=True, tta_transforms=["flip_z", "flip_y"])
    transforms, warnings = choose_transforms(config, [plan])
    assert [one.flips for one in transforms] == [(), (1,)] and "Left out: flip_y." in warnings[0]


def test_models_of_different_slices_are_not_averaged(tiny_plan: Plan) -> None:
    with pytest.raises(ModelError, match=r"the same axes of slices, and model 2 has x, the first z\."):
        Predictor([package(sliced(tiny_plan)), package(sliced(tiny_plan, "x"))], CPU)


def test_a_model_from_before_slices_along_z(tiny_plan: Plan) -> None:
    old = {name: value for name, value in sliced(tiny_plan).to_json().items() if name not in ("slice_axis", "sides")}
    assert parse_plan(old).axes == "zyx" and parse_plan(old).sides == {}
    with pytest.raises(ModelError, match=r"slice_axis = 'w'"):
        parse_plan({**old, "slice_axis": "w"})


def test_prepared_volumes_are_not_mixed_up(
    tiny_plan: Plan, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path
) -> None:
    one = case(tmp_path / "a", *oblique_case)
    assert len({cache_key(one, sliced(tiny_plan, axis)) for axis in AXES}) == 3
