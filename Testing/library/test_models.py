"""MONAI's networks as training uses them: the sizes they take, a gradient for every weight, a package and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from MedSegTrainerLib.architectures import ARCHITECTURES, PLANNED
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.models import MODELS, build_network
from MedSegTrainerLib.models.from_monai import ListOfLogits
from MedSegTrainerLib.models.norm import InstanceNorm
from MedSegTrainerLib.package import ModelPackage, load_package, save_package
from MedSegTrainerLib.plan import Plan

SMALL: dict[str, dict[str, Any]] = {
    "UNet2D": {"base_channels": 6}, "UNet3D": {"base_channels": 4}, "SwinUNETR": {"embed_dim": 12, "window_size": 4}
}  # fmt: skip
SIZES = {"UNet2D": (48, 80), "UNet3D": (16, 48, 32), "SwinUNETR": (32, 32, 64)}
ODD = {"UNet2D": (45, 83), "UNet3D": (17, 35, 46)}  # not multiples of anything
# Ronneberger's has 31.03 million without norms, Cicek's 19.07 with fewer levels; Swin UNETR has the 62.19 published
REFERENCE = {"UNet2D": 31_112_130, "UNet3D": 22_625_314, "SwinUNETR": 62_187_296}
CLASSES = {"UNet2D": 2, "UNet3D": 2, "SwinUNETR": 14}


def network_for(name: str, *, norm: str = "instance", dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(5)
    return build_network(name, parameters_for(name, norm=norm, dropout=dropout))


def parameters_for(name: str, *, norm: str = "instance", dropout: float = 0.0) -> dict[str, Any]:
    return {"in_channels": 2, "out_channels": 3, "norm": norm, "dropout": dropout, **SMALL[name]}


def image_for(name: str, size: tuple[int, ...] | None = None) -> torch.Tensor:
    return torch.randn(1, 2, *(size or SIZES[name]), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return {name: network_for(name) for name in SMALL}


def test_each_network_that_can_be_asked_for_can_be_built() -> None:
    assert MODELS.keys() == ARCHITECTURES.keys() == {PLANNED, *SMALL}


class TestShapes:
    @pytest.mark.parametrize("name", SMALL)
    def test_one_entry_of_the_size_of_the_image(self, networks: dict[str, nn.Module], name: str) -> None:
        for mode in (True, False):
            logits = networks[name].train(mode)(image_for(name))
            assert [tuple(one.shape) for one in logits] == [(1, 3, *SIZES[name])]

    @pytest.mark.parametrize("name", ODD)
    def test_odd_sizes(self, networks: dict[str, nn.Module], name: str) -> None:
        assert networks[name](image_for(name, ODD[name]))[0].shape[2:] == ODD[name]

    def test_a_size_that_swin_does_not_take_is_refused(self, networks: dict[str, nn.Module]) -> None:
        with pytest.raises(ValueError, match="divisible"):
            networks["SwinUNETR"](image_for("SwinUNETR", (32, 48, 32)))

    @pytest.mark.parametrize("name", SMALL)
    def test_the_divisor_is_what_it_takes(self, networks: dict[str, nn.Module], name: str) -> None:
        """A network halves so often: the feature maps at its coarsest level are so much smaller."""
        seen: list[int] = []
        hooks = [
            module.register_forward_hook(lambda module, given, result: seen.append(result.shape[-1]))
            for module in networks[name].modules()
            if isinstance(module, (nn.Conv2d, nn.Conv3d))
        ]
        networks[name](image_for(name))
        for hook in hooks:
            hook.remove()
        assert SIZES[name][-1] // min(seen) == ARCHITECTURES[name].divisor


class TestGradients:
    @pytest.mark.parametrize("norm", ["instance", "group", "batch"])
    @pytest.mark.parametrize("name", SMALL)
    def test_every_weight_gets_one(self, name: str, norm: str) -> None:
        network = network_for(name, norm=norm).train()
        network(image_for(name))[0].square().mean().backward()
        silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert silent == []

    @pytest.mark.parametrize("name", SMALL)
    def test_16_bits_and_channels_last_agree(self, name: str) -> None:
        network, image = network_for(name).eval(), image_for(name)
        wanted = network(image)[0]
        order = torch.channels_last_3d if image.ndim == 5 else torch.channels_last
        other = network.to(memory_format=order)  # type: ignore[call-overload]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = other(image.contiguous(memory_format=order))[0].float()
        assert (found - wanted).abs().max() < 0.05 * wanted.abs().max() + 0.02
        assert torch.corrcoef(torch.stack([found.flatten(), wanted.flatten()]))[0, 1] > 0.999


class TestSettings:
    @pytest.mark.parametrize("name", REFERENCE)
    def test_weights_of_the_reference(self, name: str) -> None:
        parameters = {"in_channels": 1, "out_channels": CLASSES[name], **ARCHITECTURES[name].settings}
        network = build_network(name, parameters)
        assert sum(weight.numel() for weight in network.parameters()) == REFERENCE[name]

    @pytest.mark.parametrize("name", SMALL)
    @pytest.mark.parametrize(
        ("norm", "kinds"),
        [("instance", InstanceNorm), ("group", nn.GroupNorm),
         ("batch", (nn.BatchNorm2d, nn.BatchNorm3d))],
    )  # fmt: skip
    def test_norm(self, name: str, norm: str, kinds: Any) -> None:
        layers = [m for m in network_for(name, norm=norm).modules() if isinstance(m, kinds)]
        assert layers
        are_weights = {isinstance(layer.weight, nn.Parameter) for layer in layers}
        assert are_weights == {(name, norm) != ("SwinUNETR", "instance")}

    @pytest.mark.parametrize("name", SMALL)
    def test_dropout_acts_in_training_alone(self, name: str) -> None:
        network, image = network_for(name, dropout=0.4), image_for(name)
        torch.manual_seed(0)
        first, second = (network.train()(image)[0] for _ in range(2))
        assert not torch.equal(first, second)
        assert torch.equal(network.eval()(image)[0], network.eval()(image)[0])

    @pytest.mark.parametrize("name", SMALL)
    def test_no_dropout_changes_nothing(self, networks: dict[str, nn.Module], name: str) -> None:
        image = image_for(name)
        first, second = (networks[name].train()(image)[0] for _ in range(2))
        torch.testing.assert_close(first, second, atol=0, rtol=0)

    def test_a_width_that_8_groups_do_not_divide(self) -> None:
        parameters = {**parameters_for("UNet2D", norm="group"), "base_channels": 6}
        groups = {m.num_groups for m in build_network("UNet2D", parameters).modules() if isinstance(m, nn.GroupNorm)}
        assert groups == {2}

    def test_a_value_that_monai_refuses_is_the_model_files_fault(self) -> None:
        with pytest.raises(ModelError, match=r"SwinUNETR cannot be built: .*does not fit this version"):
            build_network("SwinUNETR", {**parameters_for("SwinUNETR"), "embed_dim": 13})


class TestPackage:
    @pytest.mark.parametrize("norm", ["instance", "batch"])
    @pytest.mark.parametrize("name", SMALL)
    def test_is_rebuilt_from_the_package_alone(self, tiny_plan: Plan, tmp_path: Path, name: str, norm: str) -> None:
        network, image = network_for(name, norm=norm), image_for(name)
        network.train()(image)  # moves the statistics of batch norm, which are in no parameter
        plan = replace(tiny_plan, architecture=name, network=parameters_for(name, norm=norm))
        save_package(ModelPackage(plan=plan, weights=network.state_dict()), tmp_path)
        back = load_package(tmp_path)
        assert back.plan == plan
        assert torch.equal(back.build()(image)[0], network.eval()(image)[0])


def test_a_list_of_logits_has_the_weights_of_its_body() -> None:
    body = nn.Conv2d(1, 2, 1)
    assert [tuple(one.shape) for one in ListOfLogits(body)(torch.zeros(1, 1, 3, 5))] == [(1, 2, 3, 5)]
    assert list(ListOfLogits(body).state_dict()) == ["body.weight", "body.bias"]
