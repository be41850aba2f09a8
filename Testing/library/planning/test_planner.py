"""From fingerprint to plan: sensible choices with their reasons, and every setting honoured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from MedSegTrainerLib.classes import classes_from_values
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.plan import LabelCode, Plan
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.checks.fingerprint import ChannelIntensities, Fingerprint
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.jobs.stages import explain
from MedSegTrainerLib.planning.planner import make_plan

# one measurement instead of many, and that of a small step
FIXED = ("mixed_precision=false", "channels_last=false", "base_channels=4", "epochs=3", "batch_size=2")
CT = ChannelIntensities(name="CT", low=-1000, high=1500, percentile_00_5=-80, percentile_99_5=210, mean=65, std=38)
MR = ChannelIntensities(name="T2", low=0, high=1800, percentile_00_5=30, percentile_99_5=900, mean=300, std=120)


def fingerprint(
    size: tuple[int, int, int] = (8, 16, 12),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    *,
    cases: int = 6,
    dims: int = 3,
    names: Sequence[str] = ("anterior", "posterior"),
    channels: tuple[ChannelIntensities, ...] = (MR,),
    rarest: float = 0.05,
) -> Fingerprint:
    return Fingerprint(
        cases=cases, dims=dims, sizes=np.array([size] * cases), spacings=np.array([spacing] * cases),
        channels=channels, classes=tuple(classes_from_values(range(1, len(names) + 1), dict(enumerate(names, 1)))),
        cases_with=dict.fromkeys(names, cases), voxel_share=dict.fromkeys(names, rarest),
        median_volume_mm3=dict.fromkeys(names, 900.0),
    )  # fmt: skip


def plan_for(data: Fingerprint, *settings: str, train: int = 5, seconds: float | None = None) -> Plan:
    config: TrainConfig = parse_config(TrainConfig, with_settings({}, [*FIXED, *settings]))
    split = Split(train=tuple("abcdefghijklmnop"[:train]), val=("z",), test=(), reason="5 of 6 cases train")
    return make_plan(data, config, split, torch.device("cpu"), seconds)


DATA = {
    "isotropic": fingerprint((18, 25, 17)),
    "thick slices": fingerprint((6, 40, 36), (5.0, 0.8, 0.8), channels=(CT,)),
    "2D": fingerprint((1, 48, 40), (1.0, 0.3, 0.3), dims=2),
    "tiny": fingerprint((3, 5, 2), cases=2),
    "many classes": fingerprint(names=[f"part {index}" for index in range(30)], channels=(MR, CT)),
}


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    return {name: plan_for(data) for name, data in DATA.items()}


@pytest.fixture(scope="module")
def plain() -> Plan:
    return plan_for(fingerprint())


class TestDataSets:
    @pytest.mark.parametrize("name", sorted(DATA))
    def test_patch_network_and_classes_fit_each_other(self, plans: dict[str, Plan], name: str) -> None:
        data, plan = DATA[name], plans[name]
        assert [p % d for p, d in zip(plan.patch_size, plan.divisor, strict=True)] == [0, 0, 0]
        assert plan.dims == data.dims
        assert (plan.patch_size[0] == 1) == (data.dims == 2)
        assert plan.network["out_channels"] == len(plan.classes) + 1 == len(data.classes) + 1
        assert plan.network["in_channels"] == len(plan.normalization) == len(data.channels)
        assert plan.channel_names == tuple(channel.name for channel in data.channels)
        assert parse_plan(plan.to_json()) == plan

    @pytest.mark.parametrize("name", sorted(DATA))
    def test_each_choice_has_its_reason(self, plans: dict[str, Plan], name: str) -> None:
        reasons = plans[name].reasons
        chosen = {
            "device", "split", "dims", "spacing", "patch_size", "batch_size", "samples_per_volume", "normalization",
            "flip_axes", "loss", "optimizer", "learning_rate", "weight_decay", "lr_schedule", "warmup_epochs",
            "epochs", "validation_interval", "cache", "arithmetic",
        }  # fmt: skip
        assert chosen <= reasons.keys()
        assert [key for key, reason in reasons.items() if len(reason) < 8] == []
        assert reasons["split"] == "5 of 6 cases train"

    def test_thick_slices_are_pooled_less_across(self, plans: dict[str, Plan]) -> None:
        z, y, x = plans["thick slices"].divisor
        assert z < y == x

    def test_no_class_no_voxel_but_a_name(self) -> None:
        data = fingerprint()
        data = replace(
            data, cases_with={**data.cases_with, "posterior": 0}, voxel_share={**data.voxel_share, "posterior": 0.0},
            median_volume_mm3={**data.median_volume_mm3, "posterior": 0.0},
        )  # fmt: skip
        assert plan_for(data).network["out_channels"] == 3


class TestNormalization:
    def test_ct_is_clipped_to_what_the_labelled_voxels_have(self) -> None:
        plan = plan_for(fingerprint(channels=(CT,)))
        (item,) = plan.normalization
        assert (item.method, item.low, item.high, item.mean, item.std) == ("ct", -80, 210, 65, 38)
        assert "-80..210" in plan.reasons["normalization"]

    def test_mr_is_scaled_volume_by_volume(self, plain: Plan) -> None:
        assert [item.method for item in plain.normalization] == ["zscore"]

    def test_each_channel_for_itself(self) -> None:
        assert [item.method for item in plan_for(fingerprint(channels=(MR, CT))).normalization] == ["zscore", "ct"]

    @pytest.mark.parametrize("method", ["zscore", "minmax", "percentile", "ct"])
    def test_set_by_hand(self, method: str) -> None:
        plan = plan_for(fingerprint(channels=(MR, CT)), f"normalization_type={method}")
        assert [item.method for item in plan.normalization] == [method, method]

    def test_switched_off(self) -> None:
        assert [item.method for item in plan_for(fingerprint(), "normalize=false").normalization] == ["none"]


class TestFlips:
    def test_only_left_and_right(self, plain: Plan) -> None:
        assert plain.flip_axes == (2,)

    def test_not_where_classes_have_sides(self) -> None:
        plan = plan_for(fingerprint(names=["left kidney", "right kidney"]))
        assert plan.flip_axes == ()
        assert "left kidney" in plan.reasons["flip_axes"]

    @pytest.mark.parametrize("names", [["lung_L", "lung_R"], ["liver", "left kidney"]])
    def test_not_where_2d_images_have_sides_either(self, names: list[str]) -> None:
        plan = plan_for(fingerprint((1, 48, 40), (1.0, 0.3, 0.3), dims=2, names=names))
        assert plan.flip_axes == ()
        assert f"'{names[-2]}'" in plan.reasons["flip_axes"] or f"'{names[-1]}'" in plan.reasons["flip_axes"]

    def test_set_by_hand_against_the_sides_is_told(self) -> None:
        plan = plan_for(fingerprint(names=["left kidney", "right kidney"]), 'flip_axes=["x"]')
        assert plan.flip_axes == (2,)
        reason = "set by the configuration, although mirroring would turn 'left kidney' into 'right kidney'"
        assert plan.reasons["flip_axes"] == reason

    def test_both_axes_of_2d_images(self, plans: dict[str, Plan]) -> None:
        assert plans["2D"].flip_axes == (1, 2)

    @pytest.mark.parametrize(("given", "axes"), [('["z","x"]', (0, 2)), ('["y"]', (1,)), ("[]", ())])
    def test_set_by_hand(self, given: str, axes: tuple[int, ...]) -> None:
        assert plan_for(fingerprint(), f"flip_axes={given}").flip_axes == axes

    def test_classes_that_lie_on_opposite_sides_are_not_mirrored(self) -> None:
        """Left and right without a name; along an axis that is not mirrored anyway nothing changes."""
        sided = {axis: f"'1' and '2' lie on opposite sides along {'zyx'[axis]}" for axis in (1, 2)}
        volumes, pictures = fingerprint(), DATA["2D"]
        plan = plan_for(replace(volumes, sides=sided))
        assert (plan.flip_axes, set(plan.sides)) == ((), {"x", "y"})
        assert plan.reasons["flip_axes"] == f"not along x: {sided[2]}, and mirroring would exchange them"
        assert plan_for(replace(volumes, sides={1: sided[1]})).flip_axes == (2,)
        assert plan_for(replace(pictures, sides={1: sided[1]})).flip_axes == (2,)
        by_hand = plan_for(replace(volumes, sides=sided), 'flip_axes=["y"]')
        assert by_hand.flip_axes == (1,) and f"although {sided[1]}" in by_hand.reasons["flip_axes"]

    def test_a_slice_has_no_z_to_flip(self) -> None:
        assert plan_for(DATA["2D"], 'flip_axes=["z","x"]').flip_axes == (2,)


class TestLoss:
    @pytest.mark.parametrize(
        ("rarest", "row", "second"),
        [(0.05, "general medical imaging", "cross_entropy"), (0.3, "balanced classes", "cross_entropy"),
         (0.0004, "severe imbalance", "focal")],
    )  # fmt: skip
    def test_dice_and_another_with_the_row_of_the_guide(self, rarest: float, row: str, second: str) -> None:
        plan = plan_for(fingerprint(rarest=rarest))
        assert plan.loss.weights() == {"dice": 0.5, second: 0.5}
        assert row in plan.reasons["loss"]

    def test_small_objects_are_seen_at_the_size_of_a_voxel(self) -> None:
        """900 mm3 are 900 voxels of 1 mm3, but 30 of 30 mm3."""
        coarse = fingerprint((4, 16, 12), (5.0, 2.0, 3.0), rarest=0.04)
        assert "small objects" in plan_for(coarse).reasons["loss"]
        assert "small objects" not in plan_for(fingerprint(rarest=0.04)).reasons["loss"]

    def test_cases_without_any_class(self) -> None:
        """The labelled ones may all be kept aside for the test."""
        nothing = {"anterior": 0.0, "posterior": 0.0}
        plan = plan_for(replace(fingerprint(), voxel_share=nothing, median_volume_mm3=nothing), "class_weights=auto")
        assert plan.loss.weights() == {"dice": 0.5, "cross_entropy": 0.5}

    def test_slice_by_slice_an_object_is_as_small_as_its_slices(self) -> None:
        """400 voxels, about 54 in a slice."""
        data = replace(fingerprint((8, 32, 24), rarest=0.04), median_volume_mm3={"anterior": 400.0, "posterior": 900.0})
        assert "small objects" in plan_for(data, "dims=2").reasons["loss"]
        assert "small objects" not in plan_for(data).reasons["loss"]

    def test_a_class_that_no_case_has_makes_no_imbalance(self) -> None:
        data = fingerprint()
        data = replace(data, voxel_share={"anterior": 0.05, "posterior": 0.0})
        assert "severe" not in plan_for(data).reasons["loss"]

    def test_class_weights_from_the_data(self) -> None:
        data = replace(fingerprint(), voxel_share={"anterior": 0.08, "posterior": 0.02})
        plan = plan_for(data, "class_weights=auto", "loss_type=cross_entropy")
        weights = plan.loss.class_weights
        assert isinstance(weights, list)
        background, anterior, posterior = weights
        assert posterior / anterior == pytest.approx(4.0)
        assert posterior / background == pytest.approx(45.0)
        assert "class_weights" in plan.reasons

    def test_settings_beside_the_type_are_kept(self) -> None:
        plan = plan_for(
            fingerprint(), "smooth=0.01", "dice_weight=0.8", "focal_weight=0.2", "class_weights=[0.1, 1, 2]"
        )
        assert (plan.loss.loss_type, plan.loss.smooth) == ("combined", 0.01)
        assert plan.loss.weights() == {"dice": 0.8, "focal": 0.2}
        assert plan.loss.class_weights == [0.1, 1, 2]


class TestOptimizer:
    @pytest.mark.parametrize(
        ("kind", "rate", "decay", "schedule"),
        [("Adam", 2e-3, 1e-5, "constant"), ("AdamW", 2e-3, 1e-2, "constant"), ("SGD", 1e-2, 1e-4, "polynomial")],
    )
    def test_what_suits_it_comes_with_it(self, kind: str, rate: float, decay: float, schedule: str) -> None:
        plan = plan_for(fingerprint(), f"optimizer_type={kind}")
        assert (plan.optimizer_type, plan.learning_rate, plan.weight_decay, plan.lr_schedule) == (
            kind, rate, decay, schedule,
        )  # fmt: skip

    def test_without_an_average_of_the_weights_the_rate_falls(self) -> None:
        assert plan_for(fingerprint(), "ema_decay=none").lr_schedule == "cosine"

    def test_auto_is_adamw(self, plain: Plan) -> None:
        assert plain.optimizer_type == "AdamW"

    def test_a_network_chosen_by_name_has_the_rows_of_the_guide(self) -> None:
        data = fingerprint((16, 16, 16), rarest=0.002)
        plan = plan_for(data, "network.type=UNet3D", "batch_size=auto", "patch_size=[16, 16, 16]", train=16)
        assert (plan.optimizer_type, plan.learning_rate, plan.weight_decay) == ("Adam", 1e-4, 1e-4)  # 16 cases: small
        assert (plan.lr_schedule, plan.gradient_clip, plan.warmup_epochs) == ("constant", 5.0, 0.0)
        assert plan.loss.weights() == {"dice": 0.5, "focal": 0.5}
        assert plan.batch_size == 4
        rows = ("optimizer", "learning_rate", "weight_decay", "lr_schedule", "gradient_clip", "loss", "batch_size")
        assert [name for name in rows if "guide" not in plan.reasons[name]] == []

    def test_values_of_the_schedule_are_told(self) -> None:
        given = ("lr_schedule=step", "step_size=7", "trainer.gamma=0.3")
        assert "step_size 7, gamma 0.3" in plan_for(fingerprint(), *given).reasons["lr_schedule"]
        assert "patience 4 epochs" in plan_for(
            fingerprint(), "lr_schedule=plateau", "lr_patience=4"
        ).reasons["lr_schedule"]  # fmt: skip


# a setting as it is written, the field of the plan it ends in, and its value there
OVERRIDES: list[tuple[str, str, Any]] = [
    ("spacing=[2, 1.5, 1.25]", "spacing", (2, 1.5, 1.25)),
    ("patch_size=[4, 16, 20]", "patch_size", (4, 16, 20)),
    ("batch_size=3", "batch_size", 3),
    ("samples_per_volume=7", "samples_per_volume", 7),
    ("cache=disk", "cache", "disk"),
    ("loss_type=dice", "loss.loss_type", "dice"),
    ("loss_type=cross_entropy", "loss.loss_type", "cross_entropy"),
    ("learning_rate=0.0003", "learning_rate", 3e-4),
    ("weight_decay=0.5", "weight_decay", 0.5),
    ("lr_schedule=polynomial", "lr_schedule", "polynomial"),
    ("warmup_epochs=1.5", "warmup_epochs", 1.5),
    ("gradient_clip=none", "gradient_clip", None),
    ("gradient_clip=1", "gradient_clip", 1),
    ("ema_decay=none", "ema_decay", None),
    ("ema_decay=0.9", "ema_decay", 0.9),
    ("mixed_precision=true", "mixed_precision", True),
    ("channels_last=true", "channels_last", True),
    ("epochs=11", "epochs", 11),
    ("validation_interval=4", "validation_interval", 4),
]


class TestSettings:
    @pytest.mark.parametrize(("given", "name", "value"), OVERRIDES, ids=[given for given, *_ in OVERRIDES])
    def test_are_honoured(self, plain: Plan, given: str, name: str, value: Any) -> None:
        actual: Any = plan_for(fingerprint(), given)
        without: Any = plain
        for part in name.split("."):
            actual, without = getattr(actual, part), getattr(without, part)
        assert actual == value
        assert actual != without  # else the setting could be ignored and nobody would see it

    @pytest.mark.parametrize(("overlap", "interval"), [(0.25, 3), (0.9, 18)])
    def test_windows_are_counted_with_the_overlap_that_they_will_have(self, overlap: float, interval: int) -> None:
        """6 or 45 of them, beside 7 steps of two patches an epoch."""
        plan = plan_for(fingerprint(), "patch_size=[8,8,8]", "epochs=100", f"overlap={overlap}")
        assert plan.validation_interval == interval

    def test_base_channels(self) -> None:
        assert plan_for(fingerprint(), "base_channels=5").network["features"][:2] == [5, 10]

    def test_deep_supervision_off(self, plans: dict[str, Plan]) -> None:
        assert plans["isotropic"].network["deep_supervision"]
        assert not plan_for(DATA["isotropic"], "deep_supervision=false").network["deep_supervision"]

    def test_volumes_slice_by_slice(self) -> None:
        plan = plan_for(fingerprint((12, 48, 40), (5.0, 1.0, 1.0)), "dims=2")
        assert (plan.dims, plan.patch_size[0], plan.network["dims"]) == (2, 1, 2)

    def test_in_2d_a_given_patch_has_one_slice(self) -> None:
        assert plan_for(DATA["2D"], "patch_size=[9, 16, 24]").patch_size == (1, 16, 24)

    def test_an_odd_patch_gets_a_network_that_takes_it(self) -> None:
        plan = plan_for(fingerprint(), "patch_size=[7, 15, 9]")
        assert plan.patch_size == (7, 15, 9)
        assert plan.divisor == (1, 1, 1)

    def test_single_slices_have_no_3d(self) -> None:
        with pytest.raises(ConfigError, match=r"network\.dims = 3: the images have one slice"):
            plan_for(DATA["2D"], "dims=3")


class TestTime:
    LARGE = fingerprint((40, 50, 44))

    def test_little_time_makes_a_small_patch_and_says_so(self) -> None:
        full = plan_for(self.LARGE, "epochs=auto")
        short = plan_for(self.LARGE, "epochs=auto", seconds=1.0)
        assert 0.3 * 40 * 50 * 44 < np.prod(short.patch_size) < np.prod(full.patch_size) / 2
        assert "steps in the time left" in short.reasons["patch_size"]
        assert short.spacing == full.spacing
        assert "time left" not in full.reasons["patch_size"]

    def test_a_patch_that_sees_a_part_of_a_volume_stays(self) -> None:
        """Half of this one would be less than a full patch has."""
        data = fingerprint((32, 70, 81))
        full, short = (plan_for(data, "epochs=auto", seconds=seconds) for seconds in (None, 1.0))
        assert short.patch_size == full.patch_size

    @pytest.mark.parametrize(
        "setting", ["patch_size=[8, 16, 16]", "epochs=2", "image_size=32", "network.type=SegResNet"]
    )
    def test_what_the_user_chose_stays(self, setting: str) -> None:
        settings = ["epochs=auto", setting]
        if "SegResNet" in setting:  # which has no such setting
            settings.append("base_channels=auto")
        patch = plan_for(self.LARGE, *settings, seconds=1.0).patch_size
        assert patch == plan_for(self.LARGE, *settings).patch_size


class TestSteps:
    @pytest.mark.parametrize(
        ("patch", "batch"), [("[1, 64, 64]", 16), ("[16, 32, 48]", 8), ("[32, 64, 64]", 2)], ids=["16", "8", "2"]
    )
    def test_small_patches_make_large_batches(self, patch: str, batch: int) -> None:
        assert plan_for(fingerprint(), "batch_size=auto", f"patch_size={patch}").batch_size == batch

    def test_an_epoch_sees_each_sample_once(self) -> None:
        plan = plan_for(fingerprint(), "batch_size=2", "samples_per_volume=6")
        assert plan.steps_per_epoch == 5 * 6 // 2

    def test_accumulated_batches_make_fewer_steps(self) -> None:
        settings = ("batch_size=2", "samples_per_volume=6", "gradient_accumulation_steps=3")
        assert plan_for(fingerprint(), *settings).steps_per_epoch == 5 * 6 // 6

    def test_few_samples_are_one_step(self) -> None:
        assert plan_for(fingerprint(), "batch_size=16", "samples_per_volume=1").steps_per_epoch == 1

    def test_with_a_budget_few_cases_are_seen_often_and_many_once(self) -> None:
        assert plan_for(fingerprint(), "epochs=auto", train=1, seconds=5.0).samples_per_volume == 100
        assert plan_for(fingerprint(), "epochs=auto", train=16, seconds=5.0).samples_per_volume == 7

    @pytest.mark.parametrize(
        ("patch", "samples"),
        [("[8, 16, 12]", 1), ("[16, 32, 24]", 1), ("[8, 12, 8]", 2), ("[8, 16, 4]", 3), ("[4, 8, 4]", 4)],
        ids=["the whole volume", "more than that", "half of it", "a third", "a tenth"],
    )
    def test_with_a_number_of_epochs_one_is_a_pass_over_the_data(self, patch: str, samples: int) -> None:
        assert plan_for(fingerprint(), f"patch_size={patch}", train=1).samples_per_volume == samples


class TestNamedNetworks:
    def test_is_in_the_plan_with_what_it_takes(self) -> None:
        plan = plan_for(DATA["2D"], "network.type=UNet2D", "image_size=60")
        assert (plan.architecture, plan.image_size, plan.divisor) == ("UNet2D", (60, 60), (1, 16, 16))
        assert plan.patch_size == (1, 64, 64)
        assert plan.network["base_channels"] == 4
        assert parse_plan(plan.to_json()) == plan

    def test_a_budget_does_not_widen_it(self) -> None:
        plan = plan_for(DATA["2D"], "network.type=UNet2D", "base_channels=4", "epochs=auto", seconds=1e7)
        assert plan.network["base_channels"] == 4

    def test_batch_norm_needs_a_batch(self) -> None:
        with pytest.raises(ConfigError, match=r"network\.norm = 'batch' and data\.batch_size = 1"):
            plan_for(DATA["2D"], "network.type=UNet2D", "norm=batch", "batch_size=1")


class TestTooMuch:
    """Settings that only the data and the planned values show to be wrong are told before anything is built."""

    @pytest.mark.parametrize(
        "setting, message",
        [
            ("patch_size=[4096,4096,4096]", "a training step of PlannedUNet with a patch of 4096 x 4096 x 4096 voxels"),
            ("spacing=[1e-5,1e-5,1e-5]", "data.spacing = [1e-05, 1e-05, 1e-05]: the largest volume would have"),
        ],
    )
    def test_for_the_memory(self, setting: str, message: str) -> None:
        with pytest.raises(ConfigError, match="GB are there") as caught:
            plan_for(fingerprint(), setting)
        assert message in str(caught.value)

    def test_a_smallest_rate_above_the_planned_one(self) -> None:
        with pytest.raises(ConfigError, match=r"eta_min = 5: above the learning rate, which is 0\.002"):
            plan_for(fingerprint(), "lr_schedule=cosine", "eta_min=5")


class TestClassesThatWereNotDrawn:
    def test_each_set_has_a_number_and_the_plan_says_where_classes_were_drawn(self) -> None:
        data = replace(
            fingerprint(cases=60), cases_drawn={"anterior": 60, "posterior": 24}, unknown=((1, 2), (2,))
        )  # fmt: skip
        plan = plan_for(data)
        assert plan.label_codes == (LabelCode(unknown=(1, 2)), LabelCode(unknown=(2,)))
        assert parse_plan(plan.to_json()) == plan
        choice = explain(plan)["unknown_classes"]
        assert choice["value"] == ["anterior", "posterior"]
        assert choice["reason"].startswith("posterior: drawn in 24 of 60 cases: marginal loss")

    def test_in_cases_that_neither_train_nor_validate(self) -> None:
        plan = plan_for(replace(fingerprint(), cases_drawn={"anterior": 6, "posterior": 6}, unknown=((2,),)))
        assert explain(plan)["unknown_classes"]["reason"].startswith("drawn in all that train or validate")

    def test_without_them_nothing_is_said(self) -> None:
        plan = plan_for(replace(fingerprint(), cases_drawn={"anterior": 6, "posterior": 6}))
        assert plan.label_codes == () and "unknown_classes" not in {*explain(plan), *plan.reasons}
