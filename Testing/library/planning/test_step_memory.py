"""What surely does not fit is known before anything is built."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import DataConfig, NetworkConfig, TrainConfig
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.planning.step_memory import count_weights, refuse_too_large, step_bytes

SWIN = {"in_channels": 1, "out_channels": 2, "embed_dim": 48, "window_size": 7, "norm": "instance", "dropout": 0.0}


def activation_bytes(plan: Plan) -> int:
    """Bytes that a real pass keeps, counted tensor by tensor."""
    network = build_network(plan.architecture, plan.network)
    tensors = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        tensors[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.zeros((plan.batch_size, 1, *plan.patch_size)))
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    return sum(tensor.untyped_storage().nbytes() for place, tensor in tensors.items() if place not in own)


def test_counts_what_a_real_step_keeps(tiny_plan: Plan) -> None:
    plan = replace(tiny_plan, patch_size=(16, 32, 24))
    weights = count_weights(plan.architecture, plan.network)
    assert step_bytes(plan) == pytest.approx(4 * weights + activation_bytes(plan), rel=0.05)
    assert step_bytes(replace(plan, batch_size=4)) == pytest.approx(4 * weights + 2 * activation_bytes(plan), rel=0.05)


def test_weights_of_each_network_that_cannot_be_made_without_content(tiny_plan: Plan) -> None:
    real = sum(parameter.numel() for parameter in build_network("SwinUNETR", SWIN).parameters())
    assert count_weights("SwinUNETR", SWIN) == pytest.approx(real, rel=0.1)


def test_a_huge_patch_needs_no_network(tiny_plan: Plan) -> None:
    assert step_bytes(replace(tiny_plan, architecture="none at all", patch_size=(10**6, 10**6, 10**6))) > 2**43


@pytest.mark.parametrize(
    "config, setting",
    [
        (TrainConfig(data=DataConfig(patch_size=[8192, 8192, 8192])), "data.patch_size = [8192, 8192, 8192]"),
        (TrainConfig(data=DataConfig(image_size=8192)), "data.image_size = 8192"),
        (TrainConfig(network=NetworkConfig(base_channels=1024)), "network.base_channels = 1024"),
    ],
)
def test_what_was_set_is_named(tiny_plan: Plan, cpu: torch.device, config: TrainConfig, setting: str) -> None:
    with pytest.raises(ConfigError, match=r"needs at least \d+ GB, and \d+ GB are there") as caught:
        refuse_too_large(replace(tiny_plan, patch_size=(8192, 8192, 8192)), config, cpu)
    assert setting in str(caught.value)


def test_what_planning_chose_is_not_refused(tiny_plan: Plan, cpu: torch.device) -> None:
    refuse_too_large(replace(tiny_plan, patch_size=(8192, 8192, 8192)), TrainConfig(), cpu)
    refuse_too_large(tiny_plan, TrainConfig(data=DataConfig(patch_size=[4, 8, 12])), cpu)
