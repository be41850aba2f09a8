"""nnU-Net's two networks in PyTorch's own layers, named as in dynamic-network-architectures 0.4.4, to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def reference_network(architecture: str, parameters: Mapping[str, Any]) -> nn.Module:
    """PlainConvUNet or ResidualEncoderUNet for the parameters of ``networks/nnunet_unet.py``; gives logits."""
    return _UNet(parameters, residual=architecture == "ResEncUNet")


def fill(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with weights and statistics that show what is mixed up."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.data = 0.5 + torch.rand(buffer.shape, generator=generator)
    return network.eval()


class _UNet(nn.Module):
    def __init__(self, p: Mapping[str, Any], *, residual: bool) -> None:
        super().__init__()
        self.encoder = _Encoder(p, residual=residual)
        self.decoder = _Decoder(p, self.encoder)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.decoder(self.encoder(x))
        return logits


class _Encoder(nn.Module):
    def __init__(self, p: Mapping[str, Any], *, residual: bool) -> None:
        super().__init__()
        features, inputs = p["features"], p["in_channels"]
        if residual:
            self.stem = _Stack(p, 1, inputs, features[0], p["kernels"][0], 1)
            inputs = features[0]
        stages: list[nn.Module] = []
        for level, count in enumerate(p["blocks"]):
            kind = _Blocks if residual else _Stack
            stage = kind(p, count, inputs, features[level], p["kernels"][level], p["strides"][level])
            stages.append(stage if residual else nn.Sequential(stage))
            inputs = features[level]
        self.stages = nn.Sequential(*stages)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.stem(x) if hasattr(self, "stem") else x
        skips = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        return skips


class _Decoder(nn.Module):
    def __init__(self, p: Mapping[str, Any], encoder: _Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        dims, features = p["dims"], p["features"]
        up: type[nn.Module] = nn.ConvTranspose3d if dims == 3 else nn.ConvTranspose2d
        coarsest_first = list(reversed(range(len(features) - 1)))
        self.stages = nn.ModuleList(
            _Stack(p, p["decoder_blocks"][i], 2 * features[i], features[i], p["kernels"][i], 1) for i in coarsest_first
        )
        self.transpconvs = nn.ModuleList(
            up(features[i + 1], features[i], p["strides"][i + 1], p["strides"][i + 1], bias=p["conv_bias"])
            for i in coarsest_first
        )
        self.seg_layers = nn.ModuleList(_conv(dims)(features[i], p["out_channels"], 1) for i in coarsest_first)

    def forward(self, skips: list[torch.Tensor]) -> torch.Tensor:
        x = skips[-1]
        for i, (up, stage) in enumerate(zip(self.transpconvs, self.stages, strict=True)):
            x = stage(torch.cat((up(x), skips[-(i + 2)]), 1))
        logits: torch.Tensor = self.seg_layers[-1](x)
        return logits


class _Stack(nn.Module):
    def __init__(self, p: Mapping[str, Any], count: int, inputs: int, outputs: int, kernel: Any, stride: Any) -> None:
        super().__init__()
        layers = [
            _Conv(p, inputs if i == 0 else outputs, outputs, kernel, stride if i == 0 else 1) for i in range(count)
        ]
        self.convs = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.convs(x)
        return result


class _Blocks(nn.Module):
    def __init__(self, p: Mapping[str, Any], count: int, inputs: int, outputs: int, kernel: Any, stride: Any) -> None:
        super().__init__()
        layers = [
            _Block(p, inputs if i == 0 else outputs, outputs, kernel, stride if i == 0 else 1) for i in range(count)
        ]
        self.blocks = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.blocks(x)
        return result


class _Block(nn.Module):
    def __init__(self, p: Mapping[str, Any], inputs: int, outputs: int, kernel: Any, stride: Any) -> None:
        super().__init__()
        self.conv1 = _Conv(p, inputs, outputs, kernel, stride)
        self.conv2 = _Conv(p, outputs, outputs, kernel, 1, last=True)
        self.nonlin = nn.LeakyReLU(p["slope"])
        self.skip = nn.Sequential()
        if stride != 1 and max(stride) > 1:
            self.skip.append((nn.AvgPool3d if p["dims"] == 3 else nn.AvgPool2d)(stride, stride))
        if inputs != outputs:
            self.skip.append(_Conv({**p, "conv_bias": False}, inputs, outputs, 1, 1, last=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        summed: torch.Tensor = self.nonlin(self.conv2(self.conv1(x)) + self.skip(x))
        return summed


class _Conv(nn.Module):
    def __init__(
        self, p: Mapping[str, Any], inputs: int, outputs: int, kernel: Any, stride: Any, *, last: bool = False
    ) -> None:
        super().__init__()
        dims = p["dims"]
        edges = [kernel] * dims if isinstance(kernel, int) else kernel
        self.conv = _conv(dims)(
            inputs, outputs, edges, stride, [(edge - 1) // 2 for edge in edges], bias=p["conv_bias"]
        )
        dropout = [(nn.Dropout3d if dims == 3 else nn.Dropout2d)(p["dropout"])] if p["dropout"] and not last else []
        self.norm = _norm(p["norm"], dims)(outputs)
        activation = [] if last else [nn.LeakyReLU(p["slope"])]
        self.all_modules = nn.Sequential(self.conv, *dropout, self.norm, *activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.all_modules(x)
        return result


def _conv(dims: int) -> Any:
    return nn.Conv3d if dims == 3 else nn.Conv2d


def _norm(name: str, dims: int) -> Any:
    if name == "batch":
        return nn.BatchNorm3d if dims == 3 else nn.BatchNorm2d
    kind = nn.InstanceNorm3d if dims == 3 else nn.InstanceNorm2d
    return lambda channels: kind(channels, eps=1e-5, affine=True)
