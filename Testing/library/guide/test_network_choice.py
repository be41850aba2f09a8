"""The guide's selection tables: by axes, cases, memory and classes, each with its rows."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.guide.network_choice import Situation, objection, recommended_network

GB = 10**9
T4, RTX_3070, V100_16, A100 = 15_843_721_216, 8_225_000_000, 16_945_512_448, 42 * GB  # what these cards report


def situation(*, dims: int = 3, cases: int = 40, memory: int | None = A100, scale: float = 2.0) -> Situation:
    return Situation(dims=dims, cases=cases, memory=memory, scale=scale)


class TestNamed:
    @pytest.mark.parametrize(
        ("dims", "cases", "memory", "scale", "name"),
        [
            (2, 40, None, 2, "UNet2D"), (2, 40, None, 90, "UNet2D"), (2, 40, 6 * GB, 90, "UNet2D"),
            (2, 40, RTX_3070, 90, "DeepLabV3Plus"), (2, 40, A100, 2, "UNet2D"), (2, 900, A100, 2, "TransUNet"),
            (2, 900, T4, 2, "UNet2D"), (3, 40, None, 2, "SegResNet"), (3, 40, 6 * GB, 2, "SegResNet"),
            (3, 40, RTX_3070, 2, "UNet3D"), (3, 900, V100_16, 2, "UNet3D"), (3, 300, A100, 2, "UNet3D"),
            (3, 900, A100, 2, "SwinUNETR"), (3, 500, A100, 2, "UNet3D"), (3, 501, A100, 2, "SwinUNETR"),
        ],
    )  # fmt: skip
    def test_by_axes_cases_memory_and_classes(
        self, dims: int, cases: int, memory: int | None, scale: float, name: str
    ) -> None:
        named, rows = recommended_network(situation(dims=dims, cases=cases, memory=memory, scale=scale))
        assert named == name
        assert dims in ARCHITECTURES[named].dims
        assert str(cases) in rows

    @pytest.mark.parametrize(
        ("memory", "row"),
        [(None, "CPU"), (6 * GB, "under 8 GB"), (RTX_3070, "8-16 GB"), (V100_16, "8-16 GB"), (A100, "over 16 GB")],
    )
    def test_tells_the_row_by_memory(self, memory: int | None, row: str) -> None:
        assert row in recommended_network(situation(memory=memory))[1]

    def test_tells_the_scale_only_where_it_counts(self) -> None:
        assert "multi-scale (largest class to smallest 90:1)" in recommended_network(situation(dims=2, scale=90))[1]
        assert "scale" not in recommended_network(situation(dims=3, scale=90))[1]


class TestObjection:
    @pytest.mark.parametrize(
        ("name", "cases", "memory", "text"),
        [("UNETR", 40, A100, "under 100 cases"), ("SwinUNETR", 300, None, "over 16 GB"), ("UNETR", 300, A100, None),
         ("VNet", 40, None, "8 GB and more"), ("VNet", 40, RTX_3070, None), ("SegResNet", 40, None, None),
         ("UNet2D", 5, None, None)],
    )  # fmt: skip
    def test_what_the_guide_says_against_it(self, name: str, cases: int, memory: int | None, text: str | None) -> None:
        answer = objection(name, situation(cases=cases, memory=memory))
        assert (answer is None) == (text is None)
        assert text is None or text in str(answer)
