"""The planned U-Net in the shapes planning makes, and some it should not make."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.instance_norm import InstanceNormAct
from MedSegTrainerLib.networks.layers import to_rows
from MedSegTrainerLib.networks.planned_unet import PlannedUNet

TOPOLOGIES: dict[str, dict[str, Any]] = {
    "isotropic": {
        "dims": 3, "features": [4, 6, 8], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        "kernels": [[3, 3, 3]] * 3, "blocks": [1, 1, 1],
    },
    "coarse slices": {
        "dims": 3, "features": [4, 5, 6, 7], "strides": [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 1]],
        "kernels": [[1, 3, 3], [1, 3, 3], [3, 3, 3], [3, 3, 3]], "blocks": [1, 2, 1, 3],
    },
    "equal widths": {
        "dims": 3, "features": [4, 4, 4], "strides": [[1, 1, 1], [2, 1, 1], [1, 1, 2]],
        "kernels": [[3, 1, 3], [3, 3, 3], [1, 1, 1]], "blocks": [2, 1, 1],
    },
    "one level": {"dims": 3, "features": [5], "strides": [[1, 1, 1]], "kernels": [[3, 3, 3]], "blocks": [1]},
    "2D": {
        "dims": 2, "features": [4, 6, 8, 8], "strides": [[1, 1], [2, 2], [2, 2], [1, 2]],
        "kernels": [[3, 3]] * 4, "blocks": [1, 1, 2, 1],
    },
}  # fmt: skip
NAMES = list(TOPOLOGIES)


def network_for(name: str, *, deep: bool, **settings: Any) -> PlannedUNet:
    torch.manual_seed(3)
    return PlannedUNet(in_channels=2, out_channels=3, deep_supervision=deep, **TOPOLOGIES[name], **settings)


def divisor(name: str) -> list[int]:
    return torch.tensor(TOPOLOGIES[name]["strides"]).prod(dim=0).tolist()


def image_for(name: str, batch: int = 2) -> torch.Tensor:
    """Not cubic: one, two and three times what the strides ask for."""
    size = [factor * max(step, 2) for factor, step in zip((2, 1, 3), divisor(name), strict=False)]
    return torch.randn(batch, 2, *size)


def gradients(network: PlannedUNet, image: torch.Tensor) -> dict[str, torch.Tensor]:
    network.zero_grad()
    sum((level**2).mean() for level in network(image)).backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


class TestShapes:
    @pytest.mark.parametrize("name", NAMES)
    def test_logits_have_the_size_of_the_image(self, name: str) -> None:
        image = image_for(name)
        for network in (network_for(name, deep=False).train(), network_for(name, deep=True).eval()):
            logits = network(image)
            assert [tuple(level.shape) for level in logits] == [(2, 3, *image.shape[2:])]

    @pytest.mark.parametrize("name", ["isotropic", "coarse slices", "equal widths", "2D"])
    def test_deep_supervision_judges_all_but_the_two_coarsest_levels(self, name: str) -> None:
        image = image_for(name)
        logits = network_for(name, deep=True).train()(image)
        strides = torch.tensor(TOPOLOGIES[name]["strides"])
        size = torch.tensor(image.shape[2:])
        assert len(logits) == len(strides) - 2
        for level, output in enumerate(logits):
            assert tuple(output.shape[2:]) == tuple((size // strides[: level + 1].prod(dim=0)).tolist())

    def test_a_size_that_does_not_fit_is_no_silent_crop(self) -> None:
        with pytest.raises(RuntimeError):
            network_for("isotropic", deep=False)(torch.randn(1, 2, 4, 6, 8))


class TestGradients:
    @pytest.mark.parametrize("deep", [False, True])
    @pytest.mark.parametrize("name", NAMES)
    def test_every_weight_gets_one(self, name: str, deep: bool) -> None:
        network = network_for(name, deep=deep).train()
        logits = network(image_for(name))
        sum((level**2).mean() for level in logits).backward()
        silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert silent == []

    @pytest.mark.parametrize("name", ["coarse slices", "2D"])
    def test_memory_order_changes_nothing(self, name: str) -> None:
        network, image = network_for(name, deep=False).eval(), image_for(name)
        order = torch.channels_last_3d if TOPOLOGIES[name]["dims"] == 3 else torch.channels_last
        expected = network(image)[0]
        actual = network.to(memory_format=order)(image.contiguous(memory_format=order))[0]
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("name", ["isotropic", "coarse slices", "equal widths", "2D"])
    def test_memory_order_changes_no_gradient(self, name: str) -> None:
        network, image = network_for(name, deep=True).train(), image_for(name)
        expected = gradients(network, image)
        order = torch.channels_last_3d if TOPOLOGIES[name]["dims"] == 3 else torch.channels_last
        actual = gradients(network.to(memory_format=order), to_rows(image))
        for key, value in expected.items():
            torch.testing.assert_close(actual[key], value, atol=1e-4, rtol=1e-3, msg=key)

    def test_an_exported_network_computes_the_same(self) -> None:
        network, image = network_for("isotropic", deep=False).eval(), image_for("isotropic")
        exported = torch.export.export(network, (to_rows(image),)).module()
        torch.testing.assert_close(exported(to_rows(image))[0], network(to_rows(image))[0], atol=1e-4, rtol=1e-4)


class TestSettings:
    @pytest.mark.parametrize("norm", ["group", "batch"])
    @pytest.mark.parametrize("name", ["coarse slices", "2D"])
    def test_other_norms(self, name: str, norm: str) -> None:
        network = network_for(name, deep=True, norm=norm).train()
        sum((level**2).mean() for level in network(image_for(name))).backward()
        silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert silent == []
        kind = {"group": nn.GroupNorm, "batch": (nn.BatchNorm2d, nn.BatchNorm3d)}[norm]
        assert any(isinstance(module, kind) for module in network.modules())
        assert not any(isinstance(module, InstanceNormAct) for module in network.modules())

    def test_dropout_acts_in_training_alone(self) -> None:
        network, image = network_for("2D", deep=False, dropout=0.5), image_for("2D")
        first, second = (network.train()(image)[0] for _ in range(2))
        assert not torch.equal(first, second)
        assert torch.equal(network.eval()(image)[0], network_for("2D", deep=False).eval()(image)[0])

    def test_none_of_it_leaves_weights_and_result_as_they_were(self) -> None:
        """The weights of models from before these settings fit."""
        given = {"in_channels": 2, "out_channels": 3, "deep_supervision": False, **TOPOLOGIES["2D"]}
        torch.manual_seed(3)
        before, now, image = PlannedUNet(**given), network_for("2D", deep=False, dropout=0.0), image_for("2D")
        assert list(before.state_dict()) == list(now.state_dict())
        assert not any(isinstance(module, nn.Dropout) for module in now.modules())
        assert torch.equal(before.train()(image)[0], now.train()(image)[0])


class TestReach:
    def test_a_corner_is_seen_through_the_coarsest_level(self) -> None:
        """Instance norm sees everything, so what is asked is how much the far corner moves the near one."""
        network = network_for("isotropic", deep=False).eval()
        image = torch.zeros(1, 2, 8, 4, 12)
        moved = image.clone()
        moved[0, :, -1, -1, -1] = 5
        difference = (network(moved)[0] - network(image)[0]).abs()[0].sum(dim=0)
        assert difference[-1, -1, -1] > difference[0, 0, 0]
        assert difference[0, 0, 0] > 0

    def test_evaluation_of_a_batch_equals_one_by_one(self) -> None:
        network, image = network_for("coarse slices", deep=True).eval(), image_for("coarse slices", batch=3)
        alone = torch.cat([network(image[i : i + 1])[0] for i in range(3)])
        torch.testing.assert_close(network(image)[0], alone, atol=1e-5, rtol=1e-5)


class TestBuild:
    def test_by_name(self) -> None:
        parameters = {"in_channels": 1, "out_channels": 2, "deep_supervision": True, **TOPOLOGIES["2D"]}
        assert isinstance(build_network("PlannedUNet", parameters), PlannedUNet)

    def test_an_unknown_name_gets_a_hint(self) -> None:
        with pytest.raises(ModelError, match=r"'PlanedUNet' is no known network\. Did you mean 'PlannedUNet'"):
            build_network("PlanedUNet", {})

    def test_parameters_of_another_version(self) -> None:
        with pytest.raises(ModelError, match="does not fit this version"):
            build_network("PlannedUNet", {"dims": 3, "width": 9})
