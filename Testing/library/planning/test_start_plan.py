"""What of a trained model is kept, what does not fit and in which words, and what is adapted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from MedSegTrainerLib.classes import classes_from_values
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.checks.fingerprint import ChannelIntensities, Fingerprint
from MedSegTrainerLib.data.splits.split import Split
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.planning.planner import make_plan
from MedSegTrainerLib.planning.start_misfits import StartModel

FIXED = ("mixed_precision=false", "channels_last=false", "epochs=3", "batch_size=2")
CT = ChannelIntensities(name="CT", low=-1000, high=1500, percentile_00_5=-80, percentile_99_5=210, mean=65, std=38)
OTHER_CT = replace(CT, percentile_00_5=-60, percentile_99_5=300, mean=80)
T1, T2 = (
    ChannelIntensities(name=name, low=0, high=1800, percentile_00_5=30, percentile_99_5=900, mean=300, std=120)
    for name in ("T1", "T2")
)


def fingerprint(
    size: tuple[int, int, int] = (9, 20, 26),
    spacing: tuple[float, float, float] = (2.5, 1.1, 0.8),
    *,
    names: tuple[str, ...] = ("liver", "cyst"),
    channels: tuple[ChannelIntensities, ...] = (T1,),
) -> Fingerprint:
    return Fingerprint(
        cases=6, dims=2 if size[0] == 1 else 3, sizes=np.array([size] * 6), spacings=np.array([spacing] * 6),
        channels=channels, classes=tuple(classes_from_values(range(1, len(names) + 1), dict(enumerate(names, 1)))),
        cases_with=dict.fromkeys(names, 6), voxel_share=dict.fromkeys(names, 0.05),
        median_volume_mm3=dict.fromkeys(names, 900.0),
    )  # fmt: skip


def plan_for(data: Fingerprint, *settings: str, model: StartModel | None = None, seconds: float | None = None) -> Plan:
    named = ["start.model=organs"] if model else []
    config: TrainConfig = parse_config(TrainConfig, with_settings({}, [*FIXED, *named, *settings]))
    split = Split(train=("a", "b", "c"), val=("z",), test=(), reason="")
    return make_plan(data, config, split, torch.device("cpu"), seconds, model=model)


def model_of(data: Fingerprint, *settings: str) -> StartModel:
    """The model that a training on these data would make."""
    sizes = [int(edge) for edge in data.sizes[0]]
    profile = {
        "schema_version": 1, "spacing_mm": [list(map(float, data.spacings[0]))] * 3, "size_voxels": [sizes] * 3
    }  # fmt: skip
    return StartModel(name="organs", plan=plan_for(data, *settings), data=profile)


NARROW = "base_channels=6"


@pytest.fixture(scope="module")
def model() -> StartModel:
    return model_of(fingerprint(), NARROW, "patch_size=[8, 16, 16]")


def refusal(model: StartModel, data: Fingerprint, *settings: str) -> str:
    with pytest.raises(ConfigError) as caught:
        plan_for(data, *settings, model=model)
    return str(caught.value)


class TestKept:
    def test_network_grid_patch_and_normalisation(self, model: StartModel) -> None:
        """Other images of the same kind, for which other choices would be made."""
        plan = plan_for(fingerprint((30, 60, 60), (2.0, 1.0, 1.0)), model=model)
        for name in ("architecture", "dims", "spacing", "patch_size", "divisor", "normalization", "network"):
            assert getattr(plan, name) == getattr(model.plan, name), name
        for name in ("network", "dims", "spacing", "patch_size", "normalization", "base_channels", "norm"):
            assert plan.reasons[name].startswith("kept: "), name
        assert plan.reasons["start_from"] == "organs"
        assert plan.foreground_oversampling == 0.33  # no class is new
        assert plan.reasons["start_weights"].startswith("all weights are kept; they learn from the first step")

    def test_time_makes_neither_network_nor_patch_another_one(self, model: StartModel) -> None:
        config = ("trainer.epochs=auto", "trainer.budget=1h")
        plan = plan_for(fingerprint(), *config, model=model, seconds=3600)
        assert (plan.network, plan.patch_size) == (model.plan.network, model.plan.patch_size)

    def test_the_normalisation_of_ct_is_that_of_the_model(self) -> None:
        before = model_of(fingerprint(channels=(CT,)), NARROW)
        plan = plan_for(fingerprint(channels=(OTHER_CT,)), model=before)
        assert plan.normalization == before.plan.normalization and plan.normalization[0].high == 210

    def test_another_network_of_the_registry(self) -> None:
        before = model_of(fingerprint((16, 32, 32)), "type=SegResNet", "init_filters=4")
        plan = plan_for(fingerprint((16, 32, 32)), model=before)
        assert plan.architecture == "SegResNet" and plan.network == before.plan.network

    def test_a_2d_network_on_volumes_with_neighbours(self) -> None:
        before = model_of(fingerprint((9, 32, 32)), "dims=2", "neighbour_slices=1", NARROW)
        plan = plan_for(fingerprint((9, 32, 32), names=("liver",)), model=before)
        assert (plan.dims, plan.neighbour_slices, plan.network["in_channels"]) == (2, 1, 3)
        assert plan.network["out_channels"] == 2

    def test_classes_and_channels_are_told(self, model: StartModel) -> None:
        data = fingerprint(names=("cyst", "spleen"), channels=(T2, T1))
        plan = plan_for(data, model=model)
        assert plan.network["in_channels"] == 2 and plan.network["out_channels"] == 3
        assert plan.reasons["start_classes"].startswith("kept: cyst; new: spleen")
        assert plan.reasons["start_classes"].endswith("dropped: liver")
        assert plan.foreground_oversampling == 0.8 and "learn spleen" in plan.reasons["foreground_oversampling"]
        assert plan.reasons["start_channels"] == "kept: T1; new: T2, at weight 0 until it is learned"
        assert "of what is new" in plan.reasons["normalization"]

    def test_what_can_be_wished_is_done(self, model: StartModel) -> None:
        settings = ("patch_size=[4, 12, 24]", "spacing=[2.0, 1.0, 1.0]", "dropout=0.1")
        plan = plan_for(fingerprint(), *settings, model=model)
        assert (plan.patch_size, plan.spacing, plan.network["dropout"]) == ((4, 12, 24), (2.0, 1.0, 1.0), 0.1)
        assert "that of organs is [8, 16, 16]" in plan.reasons["patch_size"]

    def test_without_a_model_nothing_is_said(self) -> None:
        assert not [name for name in plan_for(fingerprint(), NARROW).reasons if name.startswith("start")]


class TestMisfits:
    def test_every_one_at_once(self, model: StartModel) -> None:
        text = refusal(
            model, fingerprint(spacing=(2.5, 2.0, 2.0), channels=(T2, CT)),
            "base_channels=8", "normalization_type=minmax", "patch_size=[8, 15, 16]", 'start.rename=["lever=cyst"]',
        )  # fmt: skip
        for line in (
            "The configuration has 5 problems", "start.rename 'lever=cyst': the model has no class 'lever'",
            "network.base_channels = 8: organs has base_channels 6. Leave it out, to keep it.",
            "organs was trained on voxels of 2.5 x 1.1 x 0.8 mm (z, y, x), and the images have 2.5 x 2 x 2 mm",
            "more than 1.5 times off", "data.patch_size = [8, 15, 16]: organs takes multiples of",
            "needs the channel T1, and the data have T2, CT", "--adapt",
        ):  # fmt: skip
            assert line in text, line

    @pytest.mark.parametrize(("factor", "fits"), [(1.49, True), (1.51, False), (0.68, True), (0.66, False)])
    def test_a_grid_of_1_5_times(self, model: StartModel, factor: float, fits: bool) -> None:
        data = fingerprint(spacing=(2.5 * factor, 1.1, 0.8))
        if fits:
            assert plan_for(data, model=model).spacing == model.plan.spacing
        else:
            assert "more than 1.5 times off" in refusal(model, data)

    def test_the_grid_of_the_network_counts_where_nobody_knows_the_images(self, model: StartModel) -> None:
        unknown = replace(model, data={})
        assert "more than 1.5 times off" in refusal(unknown, fingerprint(spacing=(2.5, 1.1, 1.3)))

    @pytest.mark.parametrize(
        ("data", "settings", "words"),
        [
            (fingerprint((1, 40, 40)), [], "sees volumes, and the images have one slice"),
            (fingerprint(), ["type=SegResNet"], "network.type = SegResNet: organs has type PlannedUNet"),
            (fingerprint(), ["dims=2"], "network.dims = 2: organs has dims 3"),
            (fingerprint(), ["normalize=false"], "data.normalize = false: organs has 'zscore' for T1"),
            (fingerprint(), ["spacing=[5, 1, 1]"], "data.spacing = [5.0, 1.0, 1.0]: organs sees voxels of"),
        ],
    )
    def test_what_contradicts_it(self, model: StartModel, data: Fingerprint, settings: list[str], words: str) -> None:
        assert words in refusal(model, data, *settings)

    def test_images_that_are_no_ct(self) -> None:
        before = model_of(fingerprint(channels=(CT,)), NARROW)
        assert "organs takes T1 for CT, and its intensities, 0 to 1800, are none" in refusal(before, fingerprint())

    def test_2d_images_and_volumes(self) -> None:
        flat = model_of(fingerprint((1, 32, 32), (1.0, 1.1, 0.8)), NARROW)
        assert "or go slice by slice: --set dims=2" in refusal(flat, fingerprint())
        assert plan_for(fingerprint((9, 32, 32)), "dims=2", model=flat).dims == 2

    def test_a_network_with_a_weight_for_each_place(self) -> None:
        sizes = ("embed_dim=12", "num_heads=2", "num_layers=1", "patch_size=[16, 32, 32]")
        before = model_of(fingerprint((16, 32, 32)), "type=UNETR", *sizes)
        assert plan_for(fingerprint((16, 40, 40)), model=before).patch_size == (16, 32, 32)
        assert "has a weight for each place" in refusal(before, fingerprint((16, 32, 32)), "patch_size=[16, 48, 32]")


class TestAdapted:
    def test_another_grid_keeps_the_network(self, model: StartModel) -> None:
        plan = plan_for(fingerprint(spacing=(2.5, 3.0, 3.0)), "start.adapt=true", model=model)
        assert plan.spacing == (2.5, 3.0, 3.0) and plan.network == model.plan.network
        assert all(edge % step == 0 for edge, step in zip(plan.patch_size, plan.divisor, strict=True))
        assert "not kept: organs was trained on voxels of" in plan.reasons["spacing"]

    def test_a_missing_channel(self, model: StartModel) -> None:
        before = model_of(fingerprint(channels=(T1, T2)), NARROW)
        plan = plan_for(fingerprint(channels=(T2,)), "start.adapt=true", model=before)
        assert plan.reasons["start_channels"] == "kept: T2; dropped: T1"

    def test_channels_of_other_names_are_those_at_their_place(self) -> None:
        before = model_of(fingerprint(channels=(T1, T2)), NARROW)
        others = tuple(replace(T1, name=name) for name in ("PD", "DWI"))
        plan = plan_for(fingerprint(channels=others), "start.adapt=true", model=before)
        assert plan.reasons["start_channels"] == "kept: PD, which was T1, DWI, which was T2"

    def test_another_depth_keeps_the_layers_that_have_a_place(self) -> None:
        data = fingerprint((16, 32, 32), (1, 1, 1))
        before = model_of(data, "patch_size=[8, 8, 8]", NARROW)
        settings = ("deep_supervision=true", "patch_size=[16, 32, 32]", "start.adapt=true")
        plan = plan_for(data, NARROW, *settings, model=before)
        assert len(plan.network["features"]) > len(before.plan.network["features"])
        assert "of the weights are kept; new are encoder.2." in plan.reasons["start_weights"]
        assert "not kept: network.deep_supervision = True" in plan.reasons["network"]

    def test_where_no_layer_fits_nothing_begins(self, model: StartModel) -> None:
        text = refusal(model, fingerprint((1, 40, 40)), "start.adapt=true")
        assert "no layer of organs (PlannedUNet, 3D) fits into a PlannedUNet in 2D" in text

    def test_wrong_names_are_never_adapted(self, model: StartModel) -> None:
        assert "no class 'lever'" in refusal(model, fingerprint(), "start.adapt=true", 'start.rename=["lever=cyst"]')


def test_settings_without_a_model_or_a_pair_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(TrainConfig, with_settings({}, ['start.rename=["liver"]', "start.adapt=true"]))
    problems: Any = caught.value.problems
    assert problems[0].startswith("start.rename 'liver': write it as 'old=new'") or "'liver'" in problems[0]
    assert [problem.split(":")[0] for problem in problems[1:]] == ["start.rename", "start.adapt"]
