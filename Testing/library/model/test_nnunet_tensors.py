"""Names of nnU-Net's tensors and ours, both ways, and checkpoints that are none, in words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nnunet_reference import fill, reference_network

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.nnunet_tensors import from_nnunet, to_nnunet
from MedSegTrainerLib.networks import build_network

PARAMETERS: dict[str, Any] = {
    "dims": 3, "in_channels": 2, "out_channels": 3, "features": [4, 6, 8, 8],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [1, 1, 2]], "kernels": [[1, 3, 3], *[[3, 3, 3]] * 3],
    "blocks": [1, 3, 2, 2], "decoder_blocks": [3, 2, 1], "conv_bias": True, "norm": "instance", "slope": 0.01,
    "dropout": 0.0, "deep_supervision": True,
}  # fmt: skip
NAMES = ["PlainConvUNet", "ResEncUNet"]
HEAD = "decoder.seg_layers.2.bias"


def checkpoint(name: str = "PlainConvUNet", **changed: Any) -> dict[str, Any]:
    return dict(fill(reference_network(name, {**PARAMETERS, **changed})).state_dict())


def refusal(weights: dict[str, Any], name: str = "PlainConvUNet", **changed: Any) -> str:
    with pytest.raises(ModelError) as refused:
        from_nnunet(weights, name, {**PARAMETERS, **changed})
    return str(refused.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("changed", [{}, {"norm": "batch"}, {"dropout": 0.2}, {"deep_supervision": False}])
class TestBothWays:
    def test_nothing_is_lost_but_heads_that_no_prediction_needs(self, name: str, changed: dict[str, Any]) -> None:
        theirs, parameters = checkpoint(name, **changed), {**PARAMETERS, **changed}
        back = to_nnunet(from_nnunet(theirs, name, parameters), name, parameters)
        assert back.keys() == theirs.keys()
        other = [key for key, value in theirs.items() if not torch.equal(back[key], value)]
        used = 2 if parameters["deep_supervision"] else 1
        assert {key.rpartition(".")[0] for key in other} == {f"decoder.seg_layers.{i}" for i in range(3 - used)}
        assert all(not back[key].any() and back[key].shape == theirs[key].shape for key in other)

    def test_their_network_takes_ours(self, name: str, changed: dict[str, Any]) -> None:
        parameters = {**PARAMETERS, **changed}
        ours, theirs = fill(build_network(name, parameters), 3), reference_network(name, parameters)
        theirs.load_state_dict(to_nnunet(ours.state_dict(), name, parameters))  # strict
        image = torch.randn(1, 2, 4, 8, 16)
        with torch.no_grad():
            torch.testing.assert_close(theirs.eval()(image), ours(image)[0], atol=1e-4, rtol=1e-4)


class TestRefused:
    def test_everything_at_once(self) -> None:
        weights = checkpoint()
        weights["classifier.weight"], weights[HEAD] = torch.zeros(3), torch.zeros(5)
        del weights["encoder.stages.1.0.convs.2.norm.weight"]
        text = refusal(weights)
        assert "missing: encoder.stages.1.0.convs.2.norm.weight" in text
        assert "not of this network: classifier.weight" in text
        assert f"of another shape or type: {HEAD} (float32 [5] instead of [3])" in text

    @pytest.mark.parametrize(
        "value",
        [torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.complex64), torch.zeros(3).to_sparse(),
         [0, 0, 0], "weights", None, torch.zeros(1).expand(3), torch.zeros(3, device="meta")],
        ids=["whole numbers", "complex", "sparse", "list", "text", "nothing", "expanded", "without memory"],
    )  # fmt: skip
    def test_what_is_no_weight(self, value: Any) -> None:
        assert f"of another shape or type: {HEAD} (" in refusal({**checkpoint(), HEAD: value})

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e9])
    def test_numbers_that_no_weight_has(self, number: float) -> None:
        text = refusal({**checkpoint(), HEAD: torch.tensor([0.0, number, 0.0])})
        assert text == f"weights that are NaN, infinite or beyond 65504: {HEAD}"

    def test_the_other_network(self) -> None:
        assert "missing: encoder.stages.0.blocks.0.conv1.conv.bias, " in refusal(checkpoint(), "ResEncUNet")

    def test_more_channels(self) -> None:
        assert "encoder.stages.0.0.convs.0.conv.weight (float32 [4, 2, 1, 3, 3]" in refusal(checkpoint(), in_channels=3)

    @pytest.mark.parametrize(
        ("name", "changed", "words"),
        [("PlannedUNet", {}, "PlannedUNet is no network of nnU-Net's"),
         ("ResEncUNet", {"norm": "group"}, "ResEncUNet with group norm is no network of nnU-Net's")],
    )  # fmt: skip
    def test_networks_that_are_not_theirs(self, name: str, changed: dict[str, Any], words: str) -> None:
        taken = ("decoder_blocks", "conv_bias", "slope") if name == "PlannedUNet" else ()
        parameters = {key: value for key, value in {**PARAMETERS, **changed}.items() if key not in taken}
        with pytest.raises(ModelError, match=words):
            to_nnunet(build_network(name, parameters).state_dict(), name, parameters)

    def test_weights_of_another_network_are_not_written(self) -> None:
        weights = build_network("PlainConvUNet", {**PARAMETERS, "deep_supervision": False}).state_dict()
        with pytest.raises(ModelError, match=r"not the weights of a PlainConvUNet: heads\.1\.bias, heads\.1\.weight"):
            to_nnunet(weights, "PlainConvUNet", PARAMETERS)


def test_names_from_several_processes_and_wider_floats() -> None:
    theirs = checkpoint()
    wrapped = {f"module.{key}": value.double() for key, value in theirs.items()}
    ours = from_nnunet(wrapped, "PlainConvUNet", PARAMETERS)
    assert all(value.dtype == torch.float32 for value in ours.values())
    assert torch.equal(ours["heads.0.bias"], theirs[HEAD])
