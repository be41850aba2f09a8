"""What is drawn covers the documented ranges, does not leave them, and follows from the seed."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.samples.augment import ELASTIC_GRID, ELASTIC_PROBABILITY, RANGES, Ranges, draw_augmentation

STRENGTHS = ("light", "standard", "strong")


def covers(values: np.ndarray, low: float, high: float, tolerance: float = 1e-5) -> bool:
    """Whether values drawn evenly fill a range, but for a twentieth of it, and do not leave it."""
    margin = 0.05 * (high - low)
    inside = low - tolerance <= values.min() and values.max() <= high + tolerance
    return bool(inside and values.min() < low + margin and values.max() > high - margin)


class TestDraw:
    BATCH = 1000

    def plane(self, plan: Plan) -> Plan:
        return replace(plan, dims=2, patch_size=(1, 20, 24), spacing=(5.0, 0.9, 0.7), flip_axes=())

    def test_follows_from_the_seed(self, tiny_plan: Plan) -> None:
        first, again, other = (
            draw_augmentation(np.random.default_rng(seed), 8, tiny_plan, "standard") for seed in (1, 1, 2)
        )
        for name in ("affine", "translation", "elastic", "contrast", "brightness", "noise", "blur"):
            assert torch.equal(getattr(first, name), getattr(again, name))
        assert first.noise_seeds == again.noise_seeds
        assert not torch.equal(first.contrast, other.contrast)
        assert not torch.equal(first.affine, other.affine)

    @pytest.mark.parametrize("strength", sorted(RANGES))
    def test_rotation_shear_and_scale_in_the_plane(
        self, tiny_plan: Plan, generator: np.random.Generator, strength: str
    ) -> None:
        """A matrix is a turn times a shear times a scale: its first column is the turned and scaled first axis."""
        ranges = RANGES[strength]
        affine = draw_augmentation(generator, self.BATCH, self.plane(tiny_plan), strength).affine.numpy()
        inner = affine[:, 1:, 1:]
        scale = np.sqrt(np.linalg.det(inner))
        angle = np.arctan2(inner[:, 1, 0], inner[:, 0, 0])
        turns = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
        shear = np.arctan((turns @ inner)[:, 0, 1] / scale)
        for values, limit in ((np.degrees(angle), ranges.rotation), (np.degrees(shear), ranges.shear)):
            assert covers(values, -limit, limit, 1e-3)
        assert covers(1 / scale[angle != 0], *ranges.scale)

    @pytest.mark.parametrize("strength", sorted(RANGES))
    def test_the_other_ranges(self, tiny_plan: Plan, generator: np.random.Generator, strength: str) -> None:
        ranges = RANGES[strength]
        draw = draw_augmentation(generator, self.BATCH, tiny_plan, strength)
        for name in ("contrast", "noise", "blur"):
            values = getattr(draw, name).numpy()
            assert covers(values[values != 0], *getattr(ranges, name)), name
        assert covers(draw.brightness.numpy(), -ranges.brightness, ranges.brightness)
        active = (draw.translation != 0).any(dim=1)
        for axis in range(3):
            assert covers(draw.translation[active, axis].numpy(), -ranges.translation, ranges.translation)
        scale = np.abs(np.linalg.det(draw.affine.numpy())) ** (-1 / 3)
        assert covers(scale[active], *ranges.scale)

    @pytest.mark.parametrize("strength", sorted(RANGES))
    def test_control_points_move_as_far_as_told_and_never_past_each_other(
        self, tiny_plan: Plan, generator: np.random.Generator, strength: str
    ) -> None:
        ranges = RANGES[strength]
        draw = draw_augmentation(generator, self.BATCH, tiny_plan, strength)
        assert draw.elastic is not None
        bent = (draw.elastic != 0).flatten(1).any(dim=1)
        assert 0.5 * ELASTIC_PROBABILITY < bent.float().mean() < 1.5 * ELASTIC_PROBABILITY
        assert covers(draw.elastic[bent].numpy(), -ranges.elastic, ranges.elastic)
        assert 2 * ranges.elastic < 1 / (ELASTIC_GRID - 1)

    @pytest.mark.parametrize("strength", sorted(RANGES))
    def test_a_whole_batch_has_one_scale_where_many_scales_are_trained(
        self, tiny_plan: Plan, strength: str
    ) -> None:  # fmt: skip
        """The affine part is the same draw with and without; what it is multiplied by in the plane is the scale."""
        plain = self.plane(tiny_plan)
        many = replace(plain, architecture="DeepLabV3Plus")
        result = []
        for seed in range(150):
            one, other = (draw_augmentation(np.random.default_rng(seed), 3, plan, strength) for plan in (plain, many))
            factors = one.affine[:, 1:, 1:] / other.affine[:, 1:, 1:]
            factors = factors[one.affine[:, 1:, 1:] != 0]
            assert factors == pytest.approx(torch.full_like(factors, float(factors[0])), rel=1e-4)
            assert torch.equal(one.affine[:, 0], other.affine[:, 0])
            assert torch.equal(one.translation, other.translation) and torch.equal(one.noise, other.noise)
            result.append(float(factors[0]))
        low, high = np.log(RANGES[strength].multi_scale)
        assert covers(np.log(result), low, high, 1e-4)

    def test_strong_is_wider_than_standard_and_standard_than_light(self) -> None:
        for item in fields(Ranges):
            light, standard, strong = (np.atleast_1d(getattr(RANGES[s], item.name)) for s in STRENGTHS)
            assert (light[-1] < standard[-1] < strong[-1]) and (light[0] >= standard[0] >= strong[0] or len(light) == 1)

    def test_standard_is_what_the_guide_says(self) -> None:
        standard = RANGES["standard"]
        assert (standard.rotation, standard.shear, standard.translation) == (15, 5, 0.1)
        assert (standard.scale, standard.contrast, standard.brightness) == ((0.9, 1.1), (0.8, 1.2), 0.2)

    def test_the_documentation_shows_the_ranges(self) -> None:
        """Its table has a row for each range, by its name, and a column for each strength; shares in percent."""
        text = (Path(__file__).resolve().parents[4] / "Resources/docs/DATALOADER.md").read_text(encoding="utf-8")
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
        (heading,) = (row for row in rows if row[1:] == list(STRENGTHS))
        below = rows[rows.index(heading) + 1 :][: len(fields(Ranges))]
        displayed = {row[0].split(",")[0].replace(" ", "_"): row[1:] for row in below}
        for item in fields(Ranges):
            for strength, cell in zip(STRENGTHS, displayed[item.name], strict=True):
                numbers = [float(number) / (100 if "%" in cell else 1) for number in re.findall(r"[\d.]+", cell)]
                expected = np.atleast_1d(getattr(RANGES[strength], item.name)).tolist()
                assert numbers == pytest.approx(expected), (item.name, strength)

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_half_of_the_patches_are_flipped_along_allowed_axes_alone(
        self, tiny_plan: Plan, generator: np.random.Generator, axis: int
    ) -> None:
        draw = draw_augmentation(generator, self.BATCH, replace(tiny_plan, flip_axes=(axis,)), "standard")
        diagonal = torch.diagonal(draw.affine, dim1=1, dim2=2)
        assert 0.4 < (diagonal[:, axis] < 0).float().mean() < 0.6
        assert (diagonal[:, [other for other in range(3) if other != axis]] > 0).all()

    def test_some_patches_stay_as_they_are(self, tiny_plan: Plan, generator: np.random.Generator) -> None:
        draw = draw_augmentation(generator, self.BATCH, replace(tiny_plan, flip_axes=()), "standard")
        still = (draw.affine == torch.eye(3)).flatten(1).all(dim=1)
        assert 0.2 < still.float().mean() < 0.4
        assert (draw.translation[still] == 0).all()
        assert (draw.noise == 0).any()
        assert (draw.blur == 0).any()
