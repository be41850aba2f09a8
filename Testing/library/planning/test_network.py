"""The network and what it sees: sizes that fit it, what is asked for kept, what contradicts the data refused."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from MedSegTrainerLib.classes import classes_from_values
from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.checks.fingerprint import ChannelIntensities, Fingerprint
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.planning.network import NetworkPlan, plan_network

MR = ChannelIntensities(name="T2", low=0, high=1800, percentile_00_5=30, percentile_99_5=900, mean=300, std=120)
Sizes = tuple[int, int, int]


def data(*sizes: Sizes, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), channels: int = 1) -> Fingerprint:
    return Fingerprint(
        cases=len(sizes), dims=2 if all(size[0] == 1 for size in sizes) else 3, sizes=np.array(sizes),
        spacings=np.array([spacing] * len(sizes)), channels=(MR,) * channels,
        classes=tuple(classes_from_values([1, 2], {1: "anterior", 2: "posterior"})),
        cases_with={"anterior": 3, "posterior": 3}, voxel_share={"anterior": 0.1, "posterior": 0.1},
        median_volume_mm3={"anterior": 900.0, "posterior": 900.0},
    )  # fmt: skip


HIPPOCAMPUS = data((35, 50, 35), (36, 48, 33), (34, 52, 36))
IMAGES = data((1, 512, 384), (1, 500, 400), (1, 512, 512))


def planned(fingerprint: Fingerprint, *settings: str) -> tuple[NetworkPlan, dict[str, str]]:
    config: TrainConfig = parse_config(TrainConfig, with_settings({}, list(settings)))
    reasons: dict[str, str] = {}
    return plan_network(fingerprint, config, torch.device("cpu"), reasons), reasons


def refusal(fingerprint: Fingerprint, *settings: str) -> str:
    with pytest.raises(ConfigError) as caught:
        planned(fingerprint, *settings)
    return "\n".join(caught.value.problems)


class TestNnunet:
    @pytest.mark.parametrize(
        ("name", "blocks", "decoder"),
        [("PlainConvUNet", [2, 2, 2, 2], [2, 2, 2]), ("ResEncUNet", [1, 3, 4, 6], [1, 1, 1])],
    )
    def test_levels_by_its_rule(self, name: str, blocks: list[int], decoder: list[int]) -> None:
        plan, reasons = planned(HIPPOCAMPUS, f"network.type={name}")
        assert (plan.architecture, plan.patch_size, plan.divisor) == (name, (40, 56, 40), (8, 8, 8))
        assert (plan.network["blocks"], plan.network["decoder_blocks"]) == (blocks, decoder)
        assert plan.network["features"] == [32, 64, 128, 256] and plan.network["kernels"] == [[3, 3, 3]] * 4
        assert plan.network["deep_supervision"] is True and plan.network["norm"] == "instance"
        assert reasons["network"] == "set by the configuration"
        build_network(plan.architecture, plan.network)

    def test_its_settings(self) -> None:
        settings = ("base_channels=6", "norm=batch", "dropout=0.2", "deep_supervision=false", "dims=2")
        plan, _ = planned(HIPPOCAMPUS, "network.type=PlainConvUNet", *settings)
        assert plan.network["features"] == [6, 12, 24, 48] and plan.network["dims"] == 2
        assert (plan.network["norm"], plan.network["dropout"]) == ("batch", 0.2)
        assert plan.network["deep_supervision"] is False and plan.patch_size[0] == 1

    def test_a_given_patch_is_kept(self) -> None:
        plan, _ = planned(HIPPOCAMPUS, "network.type=ResEncUNet", "patch_size=[24, 36, 40]")
        assert (plan.patch_size, plan.divisor) == ((24, 36, 40), (4, 4, 4))

    def test_images_are_prepared_as_nnunet_does(self) -> None:
        plan, reasons = planned(HIPPOCAMPUS, "network.type=PlainConvUNet", "dims=2", "slice_axis=x")
        assert plan.preparation is not None and plan.preparation.orientation == "RAS"
        assert (plan.preparation.transpose, plan.axes, plan.slice_axis) == ((2, 0, 1), "xzy", "z")
        assert "export --format nnunet" in reasons["preparation"]

    @pytest.mark.parametrize("settings", [("type=auto",), ("type=ResEncUNet", "dims=2", "neighbour_slices=1")])
    def test_what_nnunet_does_not_know_is_prepared_as_ever(self, settings: tuple[str, ...]) -> None:
        plan, reasons = planned(HIPPOCAMPUS, *(f"network.{setting}" for setting in settings))
        assert plan.preparation is None and "preparation" not in reasons
        assert planned(IMAGES, "network.type=PlainConvUNet")[0].preparation is None
        assert planned(HIPPOCAMPUS, "network.type=PlainConvUNet", "dims=2", "image_size=40")[0].preparation is None

    @pytest.mark.parametrize("setting", ["patch_size=[25, 35, 41]", "image_size=6"])
    def test_a_patch_without_levels_is_refused(self, setting: str) -> None:
        text = refusal(HIPPOCAMPUS, "network.type=PlainConvUNet", setting)
        assert "network.type = PlainConvUNet: no axis of a patch of" in text and "--model auto" in text


class TestVolumes:
    def test_image_size_is_the_patch_but_no_larger_than_the_volumes(self) -> None:
        plan, reasons = planned(HIPPOCAMPUS, "network.type=SwinUNETR", "image_size=96", "embed_dim=12")
        assert (plan.patch_size, plan.divisor, plan.image_size) == ((64, 64, 64), (32, 32, 32), None)
        assert "no more than the largest volume has (36 x 52 x 36 voxels)" in reasons["patch_size"]
        assert "36 x 52 x 36 became 64 x 64 x 64: SwinUNETR needs multiples of 32" in reasons["patch_size"]

    def test_img_size_of_the_network_says_the_same(self) -> None:
        settings = ("network.type=SwinUNETR", "embed_dim=12")
        assert planned(HIPPOCAMPUS, *settings, "img_size=64")[0] == planned(HIPPOCAMPUS, *settings, "image_size=64")[0]

    def test_volumes_large_enough_give_what_is_asked(self) -> None:
        plan, reasons = planned(data((120, 200, 180)), "network.type=UNet3D", "image_size=[96, 64, 112]")
        assert plan.patch_size == (96, 64, 112)
        assert reasons["patch_size"] == "image_size 96 x 64 x 112"

    def test_the_planned_one_takes_it_too(self) -> None:
        plan, _ = planned(HIPPOCAMPUS, "image_size=96")
        assert all(p >= n for p, n in zip(plan.patch_size, (36, 52, 36), strict=True))
        assert [p % d for p, d in zip(plan.patch_size, plan.divisor, strict=True)] == [0, 0, 0]
        assert max(plan.patch_size) < 96

    @pytest.mark.parametrize(
        ("setting", "patch"), [("[50, 50, 50]", (64, 64, 64)), ("[16, 100, 33]", (32, 128, 64)), ("[64, 32, 96]", None)]
    )
    def test_a_patch_that_does_not_fit_is_enlarged(self, setting: str, patch: Sizes | None) -> None:
        plan, reasons = planned(data((120, 200, 180)), "network.type=SwinUNETR", f"patch_size={setting}")
        assert plan.patch_size == (patch or (64, 32, 96))
        assert ("became" in reasons["patch_size"]) == (patch is not None)

    @pytest.mark.parametrize("name", ["UNet3D", "SwinUNETR"])
    def test_the_coarsest_level_is_more_than_a_voxel(self, name: str) -> None:
        plan, reasons = planned(data((9, 11, 10)), f"network.type={name}", "image_size=16")
        step = ARCHITECTURES[name].divisor or 0
        assert np.prod([n // step for n in plan.patch_size]) == 4
        assert "4 voxels at its coarsest level" in reasons["patch_size"]

    @pytest.mark.parametrize("size", [(35, 50, 35), (12, 300, 280), (200, 180, 400)])
    @pytest.mark.parametrize("name", ["UNet3D", "SwinUNETR"])
    def test_of_itself_it_is_what_the_device_can_take(self, name: str, size: Sizes) -> None:
        plan, reasons = planned(data(size), f"network.type={name}")
        assert [p % d for p, d in zip(plan.patch_size, plan.divisor, strict=True)] == [0, 0, 0]
        assert np.prod(plan.patch_size) <= 4 * 32**3
        assert "on this device" in reasons["patch_size"]

    def test_a_network_with_learned_places_gets_the_patch_as_its_size(self) -> None:
        plan, _ = planned(HIPPOCAMPUS, "network.type=UNETR", "embed_dim=12", "num_heads=1", "num_layers=1")
        assert plan.patch_size == (48, 64, 32) or np.prod(plan.patch_size) <= 48**3
        assert plan.network["img_size"] == list(plan.patch_size)
        assert [p % 16 for p in plan.patch_size] == [0, 0, 0]

    @pytest.mark.parametrize(("name", "setting", "patch"), [
        ("VNet", "[20, 48, 32]", (32, 48, 32)), ("SegResNet", "[12, 20, 16]", (16, 24, 16)),
        ("UNETR", "[30, 48, 33]", (32, 48, 48)),
    ])  # fmt: skip
    def test_what_no_network_takes_is_enlarged(self, name: str, setting: str, patch: Sizes) -> None:
        plan, reasons = planned(data((120, 200, 180)), f"network.type={name}", f"patch_size={setting}")
        assert plan.patch_size == patch
        assert f"{name} needs multiples of" in reasons["patch_size"]

    def test_both_kinds_of_axes_are_told_to_the_network(self) -> None:
        assert planned(HIPPOCAMPUS, "network.type=SegResNet", "init_filters=4")[0].network["dims"] == 3
        plan, reasons = planned(HIPPOCAMPUS, "network.type=SegResNet", "init_filters=4", "dimension=2d")
        assert (plan.dims, plan.network["dims"], plan.patch_size[0], plan.divisor) == (2, 2, 1, (1, 8, 8))
        assert reasons["dims"] == "set by the configuration"

    def test_a_2d_network_sees_them_slice_by_slice(self) -> None:
        plan, reasons = planned(HIPPOCAMPUS, "network.type=UNet2D")
        assert (plan.dims, plan.patch_size[0], plan.divisor) == (2, 1, (1, 16, 16))
        assert "slice by slice" in reasons["dims"]

    def test_slices_are_resized_too(self) -> None:
        plan, _ = planned(HIPPOCAMPUS, "network.type=UNet2D", "image_size=128")
        assert plan.image_size == (128, 128)
        assert plan.patch_size == (1, 128, 96)  # 50 x 35 becomes 128 x 90


class TestImages:
    def test_image_size_is_the_longer_side(self) -> None:
        plan, reasons = planned(IMAGES, "network.type=UNet2D", "image_size=256")
        assert (plan.image_size, plan.patch_size, plan.divisor) == ((256, 256), (1, 256, 256), (1, 16, 16))
        assert plan.spacing == pytest.approx((1.0, 2.0, 2.0))
        assert "in proportion" in reasons["image_size"]

    def test_a_size_that_does_not_fit_is_rounded_up(self) -> None:
        plan, reasons = planned(IMAGES, "network.type=UNet2D", "image_size=250")
        assert (plan.image_size, plan.patch_size) == ((250, 250), (1, 256, 256))
        assert "1 x 250 x 250 became 1 x 256 x 256" in reasons["patch_size"]

    def test_images_that_are_not_square_need_no_square_patch(self) -> None:
        plan, _ = planned(data((1, 200, 100), (1, 220, 120)), "network.type=UNet2D", "image_size=128")
        assert plan.patch_size == (1, 128, 80)

    def test_a_box_is_filled_in_proportion(self) -> None:
        plan, _ = planned(data((1, 200, 100)), "network.type=UNet2D", "image_size=[128, 96]")
        assert (plan.image_size, plan.patch_size) == ((128, 96), (1, 128, 64))

    def test_the_planned_one_sees_them_whole(self) -> None:
        plan, _ = planned(IMAGES, "image_size=200")
        assert plan.image_size == (200, 200)
        assert [p % d for p, d in zip(plan.patch_size, plan.divisor, strict=True)] == [0, 0, 0]
        assert 200 <= min(plan.patch_size[1:]) <= max(plan.patch_size[1:]) < 264

    def test_a_patch_is_cut_from_the_resized_image(self) -> None:
        plan, _ = planned(IMAGES, "network.type=UNet2D", "image_size=256", "patch_size=[1, 64, 96]")
        assert (plan.image_size, plan.patch_size) == ((256, 256), (1, 64, 96))


class TestNeighbours:
    def test_are_further_channels(self) -> None:
        plan, reasons = planned(data((35, 50, 35), channels=2), "network.type=UNet2D", "neighbour_slices=2")
        assert (plan.neighbour_slices, plan.network["in_channels"]) == (2, 10)
        assert "of each slice and 2 on each side" in reasons["in_channels"]

    def test_make_the_planned_network_a_2d_one(self) -> None:
        plan, reasons = planned(HIPPOCAMPUS, "neighbour_slices=1")
        assert (plan.dims, plan.patch_size[0], plan.network["in_channels"]) == (2, 1, 3)
        assert "neighbours" in reasons["dims"]

    def test_images_have_none(self) -> None:
        assert "the images have one slice" in refusal(IMAGES, "network.type=UNet2D", "neighbour_slices=1")


class TestReason:
    def test_of_auto_names_the_row_of_the_guide_and_what_is_taken_instead(self) -> None:
        plan, reasons = planned(HIPPOCAMPUS)
        assert plan.architecture == "PlannedUNet"
        assert "general 3D" in reasons["network"] and "SegResNet" in reasons["network"]
        assert "3 cases, under 100: CNNs" in reasons["network"]

    def test_of_a_name_is_the_user_and_what_the_guide_says_against_it(self) -> None:
        _, reasons = planned(HIPPOCAMPUS, "network.type=SwinUNETR", "embed_dim=12")
        assert reasons["network"] == "set by the configuration; the guide has CNNs for under 100 cases (here 3)"
        assert planned(IMAGES, "network.type=UNet2D")[1]["network"] == "set by the configuration"

    def test_classes_of_very_different_size_point_at_several_scales_only_on_a_gpu(self) -> None:
        fingerprint = replace(IMAGES, median_volume_mm3={"anterior": 9.0, "posterior": 900.0})
        assert "UNet2D. In its place" in planned(fingerprint)[1]["network"]


class TestParameters:
    @pytest.mark.parametrize("name", ARCHITECTURES)
    def test_build_the_network(self, name: str) -> None:
        usual = "init_filters=4" if "init_filters" in ARCHITECTURES[name].settings else "base_channels=4"
        width = {"SwinUNETR": "embed_dim=12", "UNETR": "embed_dim=24"}.get(name, usual)
        fingerprint = HIPPOCAMPUS if ARCHITECTURES[name].dims != (2,) else IMAGES
        plan, reasons = planned(fingerprint, f"network.type={name}", width)
        build_network(plan.architecture, plan.network)
        assert (plan.network["in_channels"], plan.network["out_channels"]) == (1, 3)
        own = set(ARCHITECTURES[name].settings)
        assert {"network", "dims", "in_channels", "out_channels", *own} - {width.split("=")[0]} <= reasons.keys()

    def test_the_data_decides_about_channels_and_classes(self) -> None:
        plan, reasons = planned(data((1, 64, 48), channels=3), "network.type=UNet2D", "in_channels=1", "out_channels=2")
        assert (plan.network["in_channels"], plan.network["out_channels"]) == (3, 3)
        assert "the configuration says 1, but the data decides" in reasons["in_channels"]
        assert "the configuration says 2, but the data decides" in reasons["out_channels"]

    def test_numbers_that_are_right_need_no_word(self) -> None:
        _, reasons = planned(IMAGES, "network.type=UNet2D", "in_channels=1", "out_channels=3")
        assert "configuration" not in reasons["in_channels"] + reasons["out_channels"]


class TestRefusals:
    def test_a_3d_network_for_images(self) -> None:
        assert refusal(IMAGES, "network.type=SwinUNETR") == (
            "network.type = SwinUNETR: the images have one slice, and a 3D network needs volumes. "
            "Use UNet2D, or leave it out."
        )

    def test_a_resampling_said_twice(self) -> None:
        assert "both say how far images are resized" in refusal(IMAGES, "image_size=256", "spacing=[1, 2, 2]")

    def test_a_patch_said_twice(self) -> None:
        assert "of volumes both are the patch" in refusal(HIPPOCAMPUS, "image_size=64", "patch_size=[32, 32, 64]")
        assert planned(HIPPOCAMPUS, "image_size=32", "patch_size=[32, 32, 32]")[0].patch_size == (32, 32, 32)

    def test_a_number_for_each_axis_of_the_data(self) -> None:
        assert "2 (y, x) for a 2D network" in refusal(IMAGES, "image_size=[64, 64, 64]")
        assert "3 (z, y, x) for a 3D network" in refusal(HIPPOCAMPUS, "image_size=[64, 64]")


class TestSliceAxis:
    SAGITTAL: ClassVar = data(*[(64, 56, 12)] * 3, spacing=(0.6, 0.6, 4.0))

    def test_the_finest_plane(self) -> None:
        plan, reasons = planned(self.SAGITTAL, "dims=2")
        assert (plan.slice_axis, plan.patch_size, plan.spacing) == ("x", (1, 64, 56), (4.0, 0.6, 0.6))
        assert "0.6 x 0.6 mm, and 4 mm along x" in reasons["slice_axis"]
        assert "sizes and spacings of the network are x, z, y" in reasons["slice_axis"]

    def test_of_equal_ones_z(self) -> None:
        plan, _ = planned(data(*[(20, 24, 28)] * 3), "dims=2")
        assert (plan.slice_axis, plan.patch_size) == ("z", (1, 24, 28))

    def test_volumes_and_pictures_have_none(self) -> None:
        for fingerprint in (self.SAGITTAL, IMAGES):
            plan, reasons = planned(fingerprint)
            assert plan.slice_axis == "z" and "slice_axis" not in reasons

    def test_settings_are_in_the_axes_of_the_patient(self) -> None:
        plan, _ = planned(self.SAGITTAL, "dims=2", "slice_axis=y", "spacing=[0.5,0.7,3]", "patch_size=[32,1,8]")
        assert (plan.slice_axis, plan.patch_size, plan.spacing) == ("y", (1, 32, 8), (0.7, 0.5, 3.0))

    def test_a_patch_of_one_voxel_along_an_axis_names_it(self) -> None:
        plan, reasons = planned(self.SAGITTAL, "dims=2", "patch_size=[1,32,8]")
        assert (plan.slice_axis, plan.patch_size) == ("z", (1, 32, 8)) and "1 x 32 x 8" in reasons["slice_axis"]

    def test_asked_in_vain(self) -> None:
        assert "data.slice_axis = x: a 3D network sees volumes" in refusal(self.SAGITTAL, "slice_axis=x")


def test_voxels_so_small_that_no_volume_fits_into_memory() -> None:
    message = refusal(HIPPOCAMPUS, "spacing=[1e-4,1e-4,1e-4]")
    assert message.startswith("data.spacing = [0.0001, 0.0001, 0.0001]: the largest volume would have ")
    assert "GB are there. It is in mm (z, y, x); the images have 1 x 1 x 1." in message
