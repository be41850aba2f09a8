"""Mirrorings and turns of test-time augmentation: what is done is undone, and what misleads is left out in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.inference.tta import IDENTITY, Transform, choose_transforms


@pytest.fixture
def square_plan(tiny_plan: Plan) -> Plan:
    return replace(tiny_plan, spacing=(2.5, 0.8, 0.8), patch_size=(4, 8, 12))


def config(*names: str) -> ApplyConfig:
    return ApplyConfig(tta=True, tta_transforms=list(names))  # type: ignore[arg-type]


class TestTransform:
    @pytest.mark.parametrize("flips", [(), (2,), (0, 1)])
    @pytest.mark.parametrize("turns", [0, 1, 2, 3])
    def test_undo_brings_back(self, flips: tuple[int, ...], turns: int) -> None:
        windows = torch.randn((2, 3, 4, 5, 6), generator=torch.Generator().manual_seed(0))
        transform = Transform(flips=flips, turns=turns)
        assert torch.equal(transform.undo(transform.apply(windows)), windows)
        assert torch.equal(transform.apply(windows), windows) == (transform == IDENTITY)

    def test_a_quarter_turn_exchanges_y_and_x(self) -> None:
        assert Transform(turns=1).apply(torch.zeros(1, 1, 4, 5, 6)).shape == (1, 1, 4, 6, 5)

    def test_axes_are_those_of_the_volume(self) -> None:
        windows = torch.arange(3.0).view(1, 1, 3, 1, 1)
        assert Transform(flips=(0,)).apply(windows).flatten().tolist() == [2, 1, 0]


class TestChoice:
    def test_without_tta_the_image_as_it_is(self, tiny_plan: Plan) -> None:
        assert choose_transforms(ApplyConfig(), [tiny_plan]) == ((IDENTITY,), [])

    def test_auto_is_every_combination_of_the_trained_mirrorings_and_no_turn(self, square_plan: Plan) -> None:
        plan = replace(square_plan, flip_axes=(0, 2))
        transforms, warnings = choose_transforms(ApplyConfig(tta=True), [plan])
        assert [(t.flips, t.turns) for t in transforms] == [((), 0), ((0,), 0), ((2,), 0), ((0, 2), 0)]
        assert warnings == []

    def test_models_must_all_have_seen_a_mirroring(self, tiny_plan: Plan) -> None:
        transforms, _ = choose_transforms(config("flip_x"), [tiny_plan, replace(tiny_plan, flip_axes=())])
        assert transforms == (IDENTITY,)

    def test_turns_by_name_warn(self, square_plan: Plan) -> None:
        transforms, warnings = choose_transforms(config("rotate90", "rotate270"), [square_plan])
        assert [t.turns for t in transforms] == [0, 1, 3]
        assert "rotate90, rotate270" in warnings[0] and "24 degrees" in warnings[0]

    @pytest.mark.parametrize("name", ["rotate90", "rotate180", "rotate270"])
    def test_no_turn_where_classes_have_a_side(self, square_plan: Plan, name: str) -> None:
        transforms, warnings = choose_transforms(config(name), [square_plan], "mirroring would turn 'l' into 'r'")
        assert transforms == (IDENTITY,)
        assert f"Left out: {name}" in warnings[0] and "'l' into 'r'" in warnings[0]

    def test_voxels_that_are_not_square(self, tiny_plan: Plan) -> None:
        transforms, warnings = choose_transforms(config("rotate90", "rotate180"), [tiny_plan])
        assert [t.turns for t in transforms] == [0, 2]  # half a turn stretches nothing
        assert "Left out: rotate90" in warnings[0] and "1.1 x 0.8 mm" in warnings[0]

    def test_windows_that_cannot_be_turned(self, square_plan: Plan) -> None:
        for changes in ({"divisor": (1, 4, 2)}, {"architecture": "UNETR"}):
            transforms, warnings = choose_transforms(config("rotate90"), [replace(square_plan, **changes)])
            assert transforms == (IDENTITY,)
            assert "takes no turned window" in warnings[0]


class TestSides:
    """Of a model whose classes are told apart by their places, whatever their names."""

    def test_a_mirroring_that_exchanges_classes_is_left_out(self, square_plan: Plan) -> None:
        plan = replace(square_plan, flip_axes=(1, 2), sides={"y": "'1' and '2' lie on opposite sides along y"})
        transforms, warnings = choose_transforms(config("flip_x", "flip_y"), [plan])
        assert [one.flips for one in transforms] == [(), (2,)]
        assert warnings[0].endswith("mirroring along it: '1' and '2' lie on opposite sides along y.")

    def test_so_is_every_turn(self, square_plan: Plan) -> None:
        for axis in "xy":
            plan = replace(square_plan, sides={axis: "'1' and '2' lie on opposite sides"})
            assert choose_transforms(config("rotate90", "rotate180"), [plan])[0] == (IDENTITY,)
        along_z = replace(square_plan, sides={"z": "'1' and '2' lie on opposite sides"})
        assert len(choose_transforms(config("rotate180"), [along_z])[0]) == 2
