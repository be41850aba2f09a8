"""What can be asked of a network, checked before any data is read."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pkgutil import resolve_name

import pytest

from MedSegTrainerLib.config.architectures import ARCHITECTURES, PLANNED
from MedSegTrainerLib.config.network_settings import (
    COMMON,
    architecture_name,
    chosen_settings,
    edges,
    network_problems,
    network_settings,
)
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import NetworkConfig, TrainConfig
from MedSegTrainerLib.errors import ConfigError

BUILT_FROM_SETTINGS = [name for name, entry in ARCHITECTURES.items() if entry.divisor is not None]


def problems(*settings: str) -> list[str]:
    try:
        parse_config(TrainConfig, with_settings({}, list(settings)))
    except ConfigError as error:
        return error.problems
    return []


class TestRegistry:
    @pytest.mark.parametrize("name", BUILT_FROM_SETTINGS)
    def test_settings_are_parameters_of_the_network(self, name: str) -> None:
        entry = ARCHITECTURES[name]
        parameters = set(inspect.signature(resolve_name(entry.builder)).parameters)
        own = {
            *entry.settings,
            *(["dims"] if len(entry.dims) > 1 else []),
            *(["img_size"] if entry.is_fixed else []),
        }
        assert parameters == {"in_channels", "out_channels", *own, *entry.of_imported}

    def test_each_setting_belongs_to_some_network(self) -> None:
        known = {setting for one in ARCHITECTURES.values() for setting in one.settings}
        assert {item.name for item in fields(NetworkConfig)} == {*COMMON, *known, "img_size"}

    def test_auto_is_the_planned_one(self) -> None:
        assert architecture_name(NetworkConfig()) == PLANNED
        assert architecture_name(NetworkConfig(type="UNet3D")) == "UNet3D"


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "setting", "value"),
        [("UNet2D", "base_channels", 64), ("UNet3D", "base_channels", 32), ("SwinUNETR", "embed_dim", 48),
         ("SwinUNETR", "window_size", 7), ("UNet2D", "norm", "instance"), ("VNet", "base_channels", 16),
         ("SegResNet", "init_filters", 8), ("SegResNet", "norm", "group"), ("DeepLabV3Plus", "aspp_rates", [6, 12, 18]),
         ("TransUNet", "base_channels", 64), ("TransUNet", "embed_dim", 512), ("TransUNet", "num_heads", 8),
         ("TransUNet", "num_layers", 12), ("UNETR", "embed_dim", 768), ("UNETR", "num_heads", 12),
         ("UNETR", "num_layers", 12)],
    )  # fmt: skip
    def test_auto_is_the_default_of_the_guide(self, name: str, setting: str, value: object) -> None:
        assert chosen_settings(NetworkConfig(type=name))[setting] == value  # type: ignore[arg-type]

    def test_what_is_given_counts(self) -> None:
        config = NetworkConfig(type="SwinUNETR", embed_dim=24, dropout=0.5, norm="group")
        assert chosen_settings(config) == {"embed_dim": 24, "window_size": 7, "norm": "group", "dropout": 0.5}

    def test_are_read_back_from_a_network(self) -> None:
        built = {"in_channels": 1, "out_channels": 2, "base_channels": 8, "norm": "batch", "dropout": 0.1}
        assert network_settings("UNet2D", built) == {"base_channels": 8, "norm": "batch", "dropout": 0.1}
        planned = {"features": [12, 24], "strides": [[1, 1], [2, 2]], "deep_supervision": False}
        assert network_settings(PLANNED, planned) == {"base_channels": 12, "deep_supervision": False}

    def test_edges(self) -> None:
        assert (edges(96, 3), edges([64, 48], 2)) == ([96, 96, 96], [64, 48])


class TestProblems:
    @pytest.mark.parametrize(
        "settings",
        [
            (), ("network.type=UNet2D", "base_channels=8", "image_size=256", "out_channels=2", "in_channels=1"),
            ("network.type=SwinUNETR", "img_size=96", "image_size=[96, 96, 96]", "embed_dim=24", "window_size=4"),
            ("network.type=UNet3D", "dims=3", "norm=group", "dropout=0.3"), ("dims=2", "image_size=[300, 200]"),
            ("deep_supervision=false", "norm=batch", "dropout=0.5"), ("network.type=SegResNet", "dimension=3d"),
            ("network.type=SegResNet", "dimension=2d", "dims=2", "init_filters=16", "neighbour_slices=1"),
            ("network.type=DeepLabV3Plus", "num_classes=3", "out_channels=3", "aspp_rates=[2, 4]"),
            ("network.type=UNETR", "img_size=96", "embed_dim=96", "num_heads=6", "num_layers=4"),
            ("network.type=UNet2D", "neighbour_slices=2"), ("neighbour_slices=2",),
        ],
    )  # fmt: skip
    def test_none_where_all_fits(self, settings: tuple[str, ...]) -> None:
        assert problems(*settings) == []

    def test_all_settings_a_network_lacks_are_listed(self) -> None:
        lines = problems("network.type=UNet2D", "embed_dim=48", "window_size=7", "img_size=96", "deep_supervision=true")
        assert sorted(problem.split(" ")[0] for problem in lines) == [
            "network.deep_supervision", "network.embed_dim", "network.img_size", "network.window_size",
        ]  # fmt: skip
        lacking = "UNet2D has no such setting. Leave it out, or set network.type to TransUNet or UNETR or SwinUNETR"
        assert any(lacking in problem for problem in lines)

    def test_the_planned_one_has_no_tokens_either(self) -> None:
        (problem,) = problems("embed_dim=48")
        assert problem.startswith("network.embed_dim = 48: PlannedUNet has no such setting")

    @pytest.mark.parametrize(("name", "dims", "own"), [("UNet2D", 3, 2), ("UNet3D", 2, 3), ("SwinUNETR", 2, 3)])
    def test_axes_a_network_lacks(self, name: str, dims: int, own: int) -> None:
        assert problems(f"network.type={name}", f"dims={dims}") == [
            f"network.dims = {dims}: {name} is a {own}D network. Leave it out."
        ]

    def test_two_names_for_the_axes(self) -> None:
        (problem,) = problems("network.type=VNet", "dims=3", "dimension=2d")
        assert problem.startswith("network.dims = 3 and network.dimension = '2d'")
        (problem,) = problems("network.type=UNETR", "dimension=2d")
        assert problem == "network.dimension = 2d: UNETR is a 3D network. Leave it out."

    def test_two_names_for_the_classes(self) -> None:
        (problem,) = problems("network.type=DeepLabV3Plus", "num_classes=3", "out_channels=2")
        assert problem.startswith("network.out_channels = 2 and network.num_classes = 3")

    @pytest.mark.parametrize("settings", [("network.type=UNETR",), ("network.type=VNet", "dims=3"), ("dimension=3d",)])
    def test_a_3d_network_needs_no_neighbours(self, settings: tuple[str, ...]) -> None:
        (problem,) = problems(*settings, "neighbour_slices=1")
        assert problem.startswith("network.neighbour_slices = 1: a 3D network sees all slices of its patch")

    @pytest.mark.parametrize(("name", "width", "heads"), [("UNETR", 100, 12), ("TransUNet", 512, 7)])
    def test_heads_that_do_not_share_the_width(self, name: str, width: int, heads: int) -> None:
        (problem,) = problems(f"network.type={name}", f"embed_dim={width}", f"num_heads={heads}")
        assert problem == (
            f"network.embed_dim = {width} and network.num_heads = {heads}: the width must be a multiple of the heads."
        )

    def test_a_width_that_swin_does_not_take(self) -> None:
        assert problems("network.type=SwinUNETR", "embed_dim=40") == [
            "network.embed_dim = 40: must be a multiple of 12 for SwinUNETR."
        ]

    def test_two_sizes_that_contradict_each_other(self) -> None:
        (problem,) = problems("network.type=SwinUNETR", "img_size=96", "image_size=128")
        assert problem.startswith("network.img_size = 96 and data.image_size = 128: both say")

    @pytest.mark.parametrize("size", ["[64, 64]", "[]", "[64, 64, 64, 64]"])
    def test_a_size_that_is_none(self, size: str) -> None:
        (problem,) = problems("network.type=SwinUNETR", f"image_size={size}")
        assert problem.startswith("data.image_size = ")
        assert "give one positive number, or 3 (one an axis)" in problem

    def test_of_a_plain_configuration(self) -> None:
        assert network_problems(TrainConfig()) == []
