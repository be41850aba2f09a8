"""A whole volume through the network in windows: ours against MONAI's inferer with the plain network."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from monai.inferers import SlidingWindowInferer

from benchmarks.material import Material
from benchmarks.plain_unet import PlainUNet
from benchmarks.timing import Comparison, Side
from MedSegTrainerLib.config import ApplyConfig
from MedSegTrainerLib.device import Precision
from MedSegTrainerLib.held_out import window_forward
from MedSegTrainerLib.models import build_network
from MedSegTrainerLib.sliding_window import choose_window, predict_volume, window_starts
from MedSegTrainerLib.step import to_channels_last


def comparisons(material: Material) -> Iterator[Comparison]:
    plan, device, overlap = material.plan, material.device, ApplyConfig().overlap
    divisor = plan.divisor
    image = torch.randn((len(plan.normalization), *material.volume), device=device)
    network = build_network(plan.architecture, plan.network).to(device).eval()
    if plan.channels_last:
        network = to_channels_last(network, plan.dims)
    forward = window_forward(network, plan, Precision(device, plan.mixed_precision))

    @torch.inference_mode()
    def ours() -> object:
        return predict_volume(
            image, forward, classes=len(plan.classes) + 1, patch=plan.patch_size, divisor=divisor,
            overlap=overlap, batch=plan.batch_size,
        )  # fmt: skip

    plain = PlainUNet(plan.network).to(device).eval()
    inferer = SlidingWindowInferer(
        plan.patch_size, sw_batch_size=plan.batch_size, overlap=overlap, mode="gaussian", padding_mode="replicate"
    )

    @torch.inference_mode()
    def theirs() -> object:
        return inferer(image[None], lambda windows: plain(windows)[0])

    windows = len(window_starts(material.volume, choose_window(material.volume, plan.patch_size, divisor), overlap))
    size, patch = (" x ".join(str(n) for n in shape) for shape in (material.volume, plan.patch_size))
    yield Comparison(
        name="infer",
        work=f"volume of {size} in windows of {patch}, {plan.batch_size} at once, overlap {overlap}",
        ours=Side(
            name=f"MedSegTrainer predict_volume: {windows} windows, {'16' if plan.mixed_precision else '32'}-bit"
            f"{' channels-last' if plan.channels_last else ''}",
            run=ours,
        ),
        theirs=Side(name="MONAI SlidingWindowInferer (gaussian), plain fp32 PyTorch, the same U-Net", run=theirs),
    )
