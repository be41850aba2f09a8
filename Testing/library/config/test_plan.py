"""A plan as JSON and back, those of earlier versions too."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from MedSegTrainerLib.config.plan import LabelCode, Plan, Preparation, Resampling
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.inference.predictor import describe_plan


def written(plan: Plan) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(plan.to_json()))
    return document


def test_comes_back_as_it_was(tiny_plan: Plan) -> None:
    assert parse_plan(written(tiny_plan)) == tiny_plan
    resized = replace(tiny_plan, image_size=(256, 192))
    assert parse_plan(written(resized)) == resized


@pytest.mark.parametrize(
    ("strides", "divisor"),
    [([[1, 1, 1], [1, 2, 2], [2, 2, 1], [2, 1, 2]], (4, 4, 4)), ([[1, 1], [2, 2], [1, 2]], (1, 2, 4))],
)
def test_of_an_earlier_version_the_strides_say_the_divisor(
    tiny_plan: Plan, strides: list[list[int]], divisor: tuple[int, int, int]
) -> None:
    levels, dims = len(strides), len(strides[0])
    network = {
        **tiny_plan.network, "dims": dims, "strides": strides, "features": [4] * levels, "blocks": [1] * levels,
        "kernels": [[3] * dims] * levels,
    }  # fmt: skip
    patch = (4, 8, 12) if dims == 3 else (1, 8, 12)
    old = written(replace(tiny_plan, dims=dims, patch_size=patch, network=network))
    del old["divisor"], old["image_size"], old["ignore_label"], old["neighbour_slices"], old["batch_parts"]
    plan = parse_plan(old)
    assert (plan.divisor, plan.image_size, plan.neighbour_slices, plan.batch_parts) == (divisor, None, 0, 1)


def test_what_is_missing_or_unknown_is_named(tiny_plan: Plan) -> None:
    values = {**written(tiny_plan), "colour": "red"}
    del values["epochs"]
    with pytest.raises(ModelError, match="colour, epochs missing or unknown"):
        parse_plan(values)


def test_is_described_with_its_network_in_words(tiny_plan: Plan) -> None:
    assert describe_plan(tiny_plan)["Network"] == "PlannedUNet, 3D, base channels 4"
    network = {"embed_dim": 24, "window_size": 7, "norm": "group", "dropout": 0.1}
    swin = replace(tiny_plan, architecture="SwinUNETR", network=network)
    assert describe_plan(swin)["Network"] == "SwinUNETR, 3D, embed dim 24, window size 7, norm group, dropout 0.1"


class TestOverlapping:
    @pytest.fixture
    def overlapping(self, tiny_plan: Plan) -> Plan:
        classes = tuple(replace(item, value=value) for value, item in enumerate(tiny_plan.classes, start=1))
        network = {**tiny_plan.network, "out_channels": len(classes)}
        codes = (LabelCode(present=(1, 2)), LabelCode(present=(1,), unknown=(2,)))
        return replace(tiny_plan, overlapping=True, classes=classes, network=network, label_codes=codes)

    def test_comes_back_as_it_was(self, overlapping: Plan) -> None:
        assert parse_plan(written(overlapping)) == overlapping
        assert overlapping.present_classes() == {0: (), 1: (1,), 2: (2,), 3: (1, 2), 4: (1,)}

    def test_numbers_of_classes_are_those_of_bits(self, overlapping: Plan) -> None:
        far = replace(overlapping, classes=tuple(replace(item, value=90 + item.value) for item in overlapping.classes))
        with pytest.raises(ModelError, match="must have the values 1, 2, 3 and so on"):
            parse_plan(written(far))

    def test_there_are_only_so_many_bits(self, overlapping: Plan) -> None:
        classes = tuple(replace(overlapping.classes[0], value=n, name=f"class {n}") for n in range(1, 32))
        many = replace(overlapping, classes=classes, network={**overlapping.network, "out_channels": 31})
        with pytest.raises(ModelError, match="31 are too many to overlap; there may be 30"):
            parse_plan(written(many))

    def test_there_is_no_channel_for_the_background(self, overlapping: Plan) -> None:
        with pytest.raises(ModelError, match=r"network\.out_channels = 3: the rest of the plan says 2"):
            parse_plan(written(replace(overlapping, network={**overlapping.network, "out_channels": 3})))


class TestPreparation:
    @pytest.fixture
    def prepared(self, tiny_plan: Plan) -> Plan:
        preparation = Preparation(
            image=Resampling(order=3, order_z=0), logits=Resampling(order=1, order_z=0), transpose=(1, 0, 2),
            orientation="RAS",
        )  # fmt: skip
        channels = tuple(replace(channel, method="zscore", masked=True) for channel in tiny_plan.normalization)
        return replace(tiny_plan, preparation=preparation, normalization=channels)

    def test_comes_back_as_it_was(self, prepared: Plan) -> None:
        assert parse_plan(written(prepared)) == prepared
        assert prepared.axes == "yzx"

    def test_a_plan_without_one_is_written_as_before_there_were_any(self, tiny_plan: Plan) -> None:
        values = written(tiny_plan)
        assert "preparation" not in values and "masked" not in values["normalization"][0]
        assert parse_plan(values).preparation is None and tiny_plan.axes == "zyx"

    def test_all_that_is_wrong_is_told_at_once(self, prepared: Plan) -> None:
        values = written(replace(prepared, slice_axis="x"))
        values["preparation"] |= {"transpose": [0, 0, 2], "orientation": "RAL", "image": {"order": 9, "order_z": -1}}
        values["normalization"][0]["method"] = "minmax"
        with pytest.raises(ModelError) as refusal:
            parse_plan(values)
        for problem in (
            "preparation.transpose = [0, 0, 2]: must be 0, 1 and 2 in some order",
            "preparation.orientation = 'RAL': must be three letters such as RAS",
            "preparation.image: orders 9 and -1 must be 0 to 5",
            "preparation: cannot be together with an image_size or another slice_axis than z",
            "normalization: minmax takes no numbers of a part of the volume, so it cannot be masked",
        ):
            assert problem in str(refusal.value)

    def test_what_it_does_not_know_is_refused(self, prepared: Plan) -> None:
        values = written(prepared)
        values["preparation"]["logits"]["mode"] = "mirror"
        with pytest.raises(ModelError, match=r"preparation\.logits\.mode"):
            parse_plan(values)

    def test_masked_needs_one(self, prepared: Plan) -> None:
        with pytest.raises(ModelError, match="what is masked needs a preparation"):
            parse_plan(written(replace(prepared, preparation=None)))
