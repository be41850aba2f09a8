"""One battery for every network that is chosen by name: sizes, gradients, arithmetic, package, export, weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from MedSegTrainerLib.config.architectures import ARCHITECTURES, NNUNET, PLANNED
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.losses.segmentation_loss import build_loss
from MedSegTrainerLib.model.package import ModelPackage, load_package, save_package
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.instance_norm import InstanceNorm
from MedSegTrainerLib.networks.layers import to_rows
from MedSegTrainerLib.networks.list_of_logits import ListOfLogits

TOKENS = {"embed_dim": 24, "num_heads": 2, "num_layers": 3}
SMALL: dict[str, dict[str, Any]] = {
    "UNet2D": {"base_channels": 6}, "UNet3D": {"base_channels": 4},
    "VNet": {"base_channels": 4, "dims": 3}, "VNet 2D": {"base_channels": 4, "dims": 2},
    "SegResNet": {"init_filters": 4, "dims": 3}, "SegResNet 2D": {"init_filters": 6, "dims": 2},
    "SegResNetDS": {"init_filters": 4, "deep_supervision": False},
    "DeepLabV3Plus": {"base_channels": 8, "aspp_rates": [1, 2]},
    "TransUNet": {"base_channels": 8, "img_size": [32, 80], **TOKENS}, "UNETR": {"img_size": [16, 48, 32], **TOKENS},
    "SwinUNETR": {"embed_dim": 12, "window_size": 4},
}  # fmt: skip
FLAT, DEEP = (32, 80), (16, 48, 32)
SIZES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("UNet2D", "VNet 2D", "SegResNet 2D", "DeepLabV3Plus", "TransUNet"), FLAT),
    **dict.fromkeys(("UNet3D", "VNet", "SegResNet", "SegResNetDS", "UNETR"), DEEP), "SwinUNETR": (32, 32, 64),
}  # fmt: skip
for added in ARCHITECTURES.keys() - {PLANNED, *NNUNET, *SMALL}:  # with its own defaults
    entry = ARCHITECTURES[added]
    dims, edge = entry.dims[-1], 2 * (entry.divisor or 1)
    SMALL[added] = {
        **entry.settings, **({"dims": dims} if len(entry.dims) > 1 else {}),
        **({"img_size": [edge] * dims} if entry.is_fixed else {}),
    }  # fmt: skip
    SIZES[added] = (edge,) * dims
ODD = {"UNet2D": (45, 83), "UNet3D": (17, 35, 46)}  # not multiples of anything
REFUSED = {  # by planning, which never lets them come up: see planning/test_network.py
    "VNet": (20, 48, 32), "SegResNet": (12, 20, 16), "SegResNetDS": (12, 20, 16), "TransUNet": (48, 80),
    "UNETR": (32, 48, 32), "SwinUNETR": (32, 48, 32),
}  # fmt: skip


def having(setting: str) -> list[str]:
    return [name for name in SMALL if setting in ARCHITECTURES[name.split()[0]].settings]


def network_for(name: str, *, norm: str = "instance", dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(5)
    return build_network(name.split()[0], parameters_for(name, norm=norm, dropout=dropout))


def parameters_for(name: str, *, norm: str = "instance", dropout: float = 0.0) -> dict[str, Any]:
    own = ARCHITECTURES[name.split()[0]].settings
    chosen = {setting: value for setting, value in (("norm", norm), ("dropout", dropout)) if setting in own}
    return {"in_channels": 2, "out_channels": 3, **SMALL[name], **chosen}


def image_for(name: str, size: tuple[int, ...] | None = None) -> torch.Tensor:
    return torch.randn(1, 2, *(size or SIZES[name]), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return {name: network_for(name) for name in SMALL}


class TestShapes:
    @pytest.mark.parametrize("name", SMALL)
    def test_one_entry_of_the_size_of_the_image(self, networks: dict[str, nn.Module], name: str) -> None:
        for mode in (True, False):
            logits = networks[name].train(mode)(image_for(name))
            assert [tuple(one.shape) for one in logits] == [(1, 3, *SIZES[name])]

    @pytest.mark.parametrize("name", ODD)
    def test_odd_sizes(self, networks: dict[str, nn.Module], name: str) -> None:
        assert networks[name](image_for(name, ODD[name]))[0].shape[2:] == ODD[name]

    @pytest.mark.parametrize("name", REFUSED)
    def test_a_size_that_it_does_not_take_is_no_wrong_result(self, networks: dict[str, nn.Module], name: str) -> None:
        with pytest.raises((ValueError, RuntimeError)):
            networks[name](image_for(name, REFUSED[name]))

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
        assert SIZES[name][-1] // min(n for n in seen if n > 1) == ARCHITECTURES[name.split()[0]].divisor

    @pytest.mark.parametrize("name", ["VNet", "DeepLabV3Plus"])
    @pytest.mark.parametrize("channels", [1, 3, 5])
    def test_a_number_of_channels_that_divides_nothing(self, name: str, channels: int) -> None:
        network = build_network(name, {**parameters_for(name), "in_channels": channels})
        assert network(torch.zeros(1, channels, *SIZES[name]))[0].shape[2:] == SIZES[name]


class TestGradients:
    @pytest.mark.parametrize("norm", ["instance", "group", "batch"])
    @pytest.mark.parametrize("name", SMALL)
    def test_every_weight_gets_one(self, name: str, norm: str) -> None:
        network = network_for(name, norm=norm).train()
        network(image_for(name))[0].square().mean().backward()
        silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert silent == []

    @pytest.mark.parametrize("name", SMALL)
    def test_channels_last_and_16_bits_agree(self, name: str) -> None:
        """Rounding to 16 bits adds up over the many layers of a residual network, whose coarsest maps are tiny here."""
        network, image = network_for(name).eval(), image_for(name)
        expected = network(image)[0]
        order = torch.channels_last_3d if image.ndim == 5 else torch.channels_last
        other = network.to(memory_format=order)  # type: ignore[call-overload]
        torch.testing.assert_close(other(to_rows(image))[0], expected, atol=1e-4, rtol=1e-4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            actual = other(to_rows(image))[0].float()
        is_residual = name in ("DeepLabV3Plus", "TransUNet")
        assert (actual - expected).norm() < (0.1 if is_residual else 0.04) * expected.norm()
        likeness = torch.corrcoef(torch.stack([actual.flatten(), expected.flatten()]))[0, 1]
        assert likeness > (0.995 if is_residual else 0.999)

    @pytest.mark.parametrize("name", SMALL)
    def test_a_batch_is_its_patches(self, networks: dict[str, nn.Module], name: str) -> None:
        network, images = networks[name].eval(), torch.cat([image_for(name), 2 * image_for(name).flip(-1)])
        alone = torch.cat([network(images[i : i + 1])[0] for i in range(2)])
        torch.testing.assert_close(network(images)[0], alone, atol=1e-4, rtol=1e-4)


class TestLearning:
    @pytest.mark.parametrize(
        "name", [pytest.param(name, marks=[pytest.mark.slow] if len(SIZES[name]) == 3 else []) for name in SMALL]
    )
    def test_two_real_patches_by_heart(self, shared_data: Path, cpu: torch.device, name: str) -> None:
        images, labels = real_patches(shared_data, SIZES[name])
        classes = int(labels.max()) + 1
        torch.manual_seed(5)
        parameters = {**parameters_for(name), "in_channels": 1, "out_channels": classes}
        network = build_network(name.split()[0], parameters).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        loss = build_loss(LossConfig(loss_type="combined"), classes, cpu)
        reached = []
        for _ in range(400):
            logits = network(images)
            reached.append(smallest_dice(logits[0].argmax(1), labels))
            if reached[-1] >= 0.95:
                break
            optimizer.zero_grad()
            loss(logits, labels).backward()
            optimizer.step()
        assert reached[0] < 0.9  # of the membranes' cells: everything
        assert reached[-1] >= 0.95


def real_patches(shared: Path, size: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (2, 1, *size), mean 0 and deviation 1, and class indices (2, *size), from the middle of two cases."""
    folders, pattern = ("hippocampus/imagesTr", "hippocampus/labelsTr"), "hippocampus_0*.nii.gz"
    if len(size) == 2:
        folders, pattern = ("membrane/images", "membrane/masks"), "*.png"
    patches = []
    for folder in folders:
        files = sorted((shared / folder).glob(pattern))[:2]
        arrays = [sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in files]
        patches.append(np.stack([middle_of(array, size) for array in arrays]))
    images, labels = torch.from_numpy(patches[0]).float()[:, None], torch.from_numpy(patches[1]).long()
    images = (images - images.mean()) / images.std()
    return images, (labels == 255).long() if len(size) == 2 else labels


def middle_of(array: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Cut or, with its border repeated, padded to ``size``."""
    array = np.pad(array, [(max(0, m - n), max(0, m - n)) for n, m in zip(array.shape, size, strict=True)], "edge")
    return array[tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(array.shape, size, strict=True))]


def smallest_dice(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Of the classes without background, over both patches."""
    return min(
        float(2 * ((actual == k) & (expected == k)).sum() / ((actual == k).sum() + (expected == k).sum()))
        for k in range(1, int(expected.max()) + 1)
    )


# Weights, and as published: millions of weights and 10^9 multiplications with additions for an image of the size; None
# where the published network is another one.
# UNet2D: Ronneberger's has 31.03 without norms. UNet3D: Cicek's has 19.07 with fewer levels. VNet: MONAI's, which has a
# norm more, in front of the last layer. SegResNet, UNETR, SwinUNETR: Lee et al. 2023, https://arxiv.org/abs/2209.15076,
# whose counter takes other layers into account than PyTorch's (UNETR: 73.2, SwinUNETR: 318.5). DeepLabV3Plus: the
# paper's has an Xception (41), this one a ResNet-18. TransUNet: the paper's has a ResNet-50 and a ViT-B of 768 (105.3),
# this one a ResNet-18 and the guide's 512.
PUBLISHED: dict[str, tuple[int, tuple[int, ...], int, float | None, float | None]] = {
    "UNet2D": (2, (256, 256), 31_112_130, 31.0, None),
    "UNet3D": (2, (96, 96, 96), 22_625_314, None, None),
    "VNet": (1, (96, 96, 96), 45_597_507, 45.6, None),
    "SegResNet": (2, (96, 96, 96), 1_176_186, 1.18, 15.6),
    "SegResNetDS": (2, (96, 96, 96), 87_164_200, None, None),
    "DeepLabV3Plus": (2, (256, 256), 12_323_026, None, None),
    "TransUNet": (2, (224, 224), 45_921_570, None, None),
    "UNETR": (14, (96, 96, 96), 92_786_094, 92.8, 82.6),
    "SwinUNETR": (14, (96, 96, 96), 62_187_296, 62.2, 328.4),
}


class TestReference:
    @pytest.mark.parametrize("name", PUBLISHED)
    def test_weights_and_arithmetic(self, name: str) -> None:
        classes, size, weights, millions, billions = PUBLISHED[name]
        entry = ARCHITECTURES[name]
        parameters = {"in_channels": 1, "out_channels": classes, **entry.settings}
        parameters |= {"dims": 3} if len(entry.dims) > 1 else {}
        parameters |= {"img_size": list(size)} if entry.is_fixed else {}
        network = build_network(name, parameters).to("meta")
        counted = sum(weight.numel() for weight in network.parameters())
        assert counted == weights
        assert millions is None or counted / 1e6 == pytest.approx(millions, rel=0.005)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network.eval()(torch.empty(1, 1, *size, device="meta"))
        assert billions is None or counter.get_total_flops() / 2e9 == pytest.approx(billions, rel=0.12)


class TestExport:
    @pytest.mark.parametrize("name", SMALL)
    def test_computes_the_same(self, networks: dict[str, nn.Module], name: str) -> None:
        network, image = networks[name].eval(), image_for(name)
        exported = torch.export.export(network, (image,)).module()
        torch.testing.assert_close(exported(image)[0], network(image)[0], atol=1e-4, rtol=1e-4)


class TestSettings:
    @pytest.mark.parametrize("name", having("norm"))
    @pytest.mark.parametrize(
        ("norm", "kinds"),
        [("instance", InstanceNorm), ("group", nn.GroupNorm),
         ("batch", (nn.BatchNorm2d, nn.BatchNorm3d))],
    )  # fmt: skip
    def test_norm(self, name: str, norm: str, kinds: Any) -> None:
        modules = list(network_for(name, norm=norm).modules())
        layers = [m for m in modules if isinstance(m, kinds)]
        others = (InstanceNorm, nn.GroupNorm, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm2d, nn.InstanceNorm3d)
        assert layers and not [m for m in modules if isinstance(m, others) and not isinstance(m, kinds)]
        are_weights = {isinstance(layer.weight, nn.Parameter) for layer in layers}
        assert are_weights == {(name, norm) != ("SwinUNETR", "instance")}

    @pytest.mark.parametrize("name", having("dropout"))
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

    @pytest.mark.parametrize("layers", [1, 2, 5, 12])
    def test_unetr_takes_any_number_of_layers(self, layers: int) -> None:
        network = build_network("UNETR", {**parameters_for("UNETR"), "num_layers": layers})
        assert sum(type(module).__name__ == "TransformerBlock" for module in network.modules()) == layers
        assert network(image_for("UNETR"))[0].shape[2:] == SIZES["UNETR"]

    def test_a_value_that_monai_refuses_is_the_model_files_fault(self) -> None:
        with pytest.raises(ModelError, match=r"SwinUNETR cannot be built: .*does not fit this version"):
            build_network("SwinUNETR", {**parameters_for("SwinUNETR"), "embed_dim": 13})


class TestPackage:
    @pytest.mark.parametrize("norm", ["instance", "batch"])
    @pytest.mark.parametrize("name", SMALL)
    def test_is_rebuilt_from_the_package_alone(self, tiny_plan: Plan, tmp_path: Path, name: str, norm: str) -> None:
        network, image = network_for(name, norm=norm), image_for(name)
        network.train()(image)  # moves the statistics of batch norm, which are in no parameter
        size = image.shape[2:]
        plan = replace(
            tiny_plan, architecture=name.split()[0], network=parameters_for(name, norm=norm), dims=len(size),
            patch_size=(1,) * (3 - len(size)) + size, divisor=(1, 1, 1), channel_names=("T1", "T2"),
            normalization=tiny_plan.normalization * 2,
        )  # fmt: skip
        save_package(ModelPackage(plan=plan, weights=network.state_dict()), tmp_path)
        back = load_package(tmp_path)
        assert back.plan == plan
        assert torch.equal(back.build()(image)[0], network.eval()(image)[0])


def test_a_list_of_logits_has_the_weights_of_its_body() -> None:
    body = nn.Conv2d(1, 2, 1)
    assert [tuple(one.shape) for one in ListOfLogits(body)(torch.zeros(1, 1, 3, 5))] == [(1, 2, 3, 5)]
    assert list(ListOfLogits(body).state_dict()) == ["body.weight", "body.bias"]
