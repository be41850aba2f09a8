"""nnU-Net's two networks against their reference, and what training asks of them beside."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nnunet_reference import fill, reference_network

from MedSegTrainerLib.model.nnunet_tensors import from_nnunet
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.layers import to_rows
from MedSegTrainerLib.networks.nnunet_unet import NnunetUNet

LEVELS: dict[str, dict[str, Any]] = {
    "coarse slices": {
        "dims": 3, "features": [4, 6, 8, 8], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 1, 2]],
        "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]], "blocks": [1, 3, 2, 2], "decoder_blocks": [3, 2, 1],
    },
    "isotropic": {
        "dims": 3, "features": [4, 4, 8], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        "kernels": [[3, 3, 3]] * 3, "blocks": [2, 2, 2], "decoder_blocks": [2, 2],
    },
    "strides of 3": {
        "dims": 3, "features": [4, 6], "strides": [[1, 1, 1], [2, 3, 1]],
        "kernels": [[5, 3, 3], [3, 3, 1]], "blocks": [1, 2], "decoder_blocks": [1],
    },
    "2D": {
        "dims": 2, "features": [4, 6, 8], "strides": [[1, 1], [2, 2], [1, 2]],
        "kernels": [[3, 3]] * 3, "blocks": [2, 1, 3], "decoder_blocks": [1, 2],
    },
}  # fmt: skip
SIZES = {"coarse slices": (8, 4, 24), "isotropic": (8, 12, 4), "strides of 3": (4, 9, 5), "2D": (6, 20)}
NAMES = ["PlainConvUNet", "ResEncUNet"]


def parameters_for(levels: str, **changed: Any) -> dict[str, Any]:
    style = {"conv_bias": True, "norm": "instance", "slope": 0.01, "dropout": 0.0, "deep_supervision": True}
    return {"in_channels": 2, "out_channels": 3, **LEVELS[levels], **style, **changed}


def image_for(levels: str) -> torch.Tensor:
    return torch.randn(2, 2, *SIZES[levels], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
class TestReference:
    @pytest.mark.parametrize("levels", LEVELS)
    def test_the_same_logits(self, name: str, levels: str) -> None:
        self.compare(name, levels)

    @pytest.mark.parametrize(
        "style", [{"norm": "batch"}, {"conv_bias": False}, {"slope": 0.0}, {"dropout": 0.4}, {"slope": 0.2}]
    )
    @pytest.mark.parametrize("levels", ["coarse slices", "2D"])
    def test_in_every_style(self, name: str, levels: str, style: dict[str, Any]) -> None:
        self.compare(name, levels, **style)

    def compare(self, name: str, levels: str, **style: Any) -> None:
        parameters, image = parameters_for(levels, **style), image_for(levels)
        reference = fill(reference_network(name, parameters))
        network = build_network(name, parameters).eval()
        network.load_state_dict(from_nnunet(reference.state_dict(), name, parameters))
        with torch.no_grad():
            expected = reference(image)
            for given in (image, to_rows(image)):
                torch.testing.assert_close(network(given)[0], expected, atol=1e-4, rtol=1e-4)

    def test_the_same_gradients(self, name: str) -> None:
        parameters, image = (
            parameters_for("coarse slices", deep_supervision=False, slope=0.0),
            image_for("coarse slices"),
        )
        reference = fill(reference_network(name, parameters)).train()
        network = build_network(name, parameters).train()
        network.load_state_dict(from_nnunet(reference.state_dict(), name, parameters))
        (reference(image) ** 3).mean().backward()
        (network(to_rows(image))[0] ** 3).mean().backward()
        theirs = {
            key: value.grad if value.grad is not None else torch.zeros_like(value)
            for key, value in reference.named_parameters(remove_duplicate=False)
        }
        expected = from_nnunet(theirs, name, parameters)
        for key, value in network.named_parameters():
            assert value.grad is not None
            torch.testing.assert_close(value.grad, expected[key], atol=1e-4, rtol=1e-3, msg=key)


@pytest.mark.parametrize("name", NAMES)
class TestTraining:
    @pytest.mark.parametrize("deep", [False, True])
    @pytest.mark.parametrize("levels", LEVELS)
    def test_every_weight_gets_a_gradient(self, name: str, levels: str, deep: bool) -> None:
        network = fill(build_network(name, parameters_for(levels, deep_supervision=deep))).train()
        sum((level**2).mean() for level in network(image_for(levels))).backward()
        silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        # a norm takes away what the bias of the convolution before it adds
        assert [n for n in silent if not n.endswith("conv.bias")] == []

    def test_deep_supervision_judges_all_but_the_two_coarsest_levels(self, name: str) -> None:
        image, network = image_for("coarse slices"), build_network(name, parameters_for("coarse slices"))
        assert [tuple(level.shape[2:]) for level in network.train()(image)] == [(8, 4, 24), (8, 2, 12)]
        assert [tuple(level.shape[1:]) for level in network.eval()(image)] == [(3, 8, 4, 24)]

    def test_dropout_acts_in_training_alone(self, name: str) -> None:
        image, network = image_for("2D"), build_network(name, parameters_for("2D", dropout=0.5))
        first, second = (network.train()(image)[0] for _ in range(2))
        assert not torch.equal(first, second)
        assert torch.equal(network.eval()(image)[0], network.eval()(image)[0])

    def test_an_exported_network_computes_the_same(self, name: str) -> None:
        network, image = fill(build_network(name, parameters_for("coarse slices"))), image_for("coarse slices")
        exported = torch.export.export(network, (to_rows(image),)).module()
        torch.testing.assert_close(exported(to_rows(image))[0], network(to_rows(image))[0], atol=1e-4, rtol=1e-4)


def test_a_residual_block_adds_nothing_at_first() -> None:
    network = build_network("ResEncUNet", parameters_for("isotropic"))
    assert isinstance(network, NnunetUNet)
    block, image = network.encoder[0][0], torch.randn(1, 4, 4, 6, 8)
    torch.testing.assert_close(block(image), torch.nn.functional.leaky_relu(image, 0.01))
