"""Several GPUs where they are asked for and there."""

from __future__ import annotations

import pytest
import torch

from MedSegTrainerLib.config.settings import Auto
from MedSegTrainerLib.hardware.device import devices_of_models, several_gpus

CPU = torch.device("cpu")


def names(devices: list[torch.device]) -> list[str]:
    return [str(device) for device in devices]


class TestSeveralGpus:
    @pytest.mark.parametrize(
        ("device", "asked", "visible", "expected"),
        [
            ("cuda", 2, 4, ["cuda:0", "cuda:1"]),
            ("cuda", "auto", 3, ["cuda:0", "cuda:1", "cuda:2"]),
            ("cuda", "auto", 1, ["cuda"]),
            ("cuda", 1, 4, ["cuda"]),
            ("cuda:2", "auto", 4, ["cuda:2"]),
            ("cpu", "auto", 0, ["cpu"]),
        ],
    )
    def test_as_many_as_asked_for(self, device: str, asked: int | Auto, visible: int, expected: list[str]) -> None:
        devices, warning = several_gpus(torch.device(device), asked, visible=visible)
        assert names(devices) == expected and warning is None

    def test_fewer_are_told(self) -> None:
        devices, warning = several_gpus(torch.device("cuda"), 4, visible=2)
        assert names(devices) == ["cuda:0", "cuda:1"] and warning is not None and "sees 2" in warning


class TestDevicesOfModels:
    def test_models_take_turns_on_a_cpu_which_is_told_who_asked_for_more(self) -> None:
        assert devices_of_models(CPU, "auto", 5) == ([CPU], None)
        devices, warning = devices_of_models(CPU, 3, 5)
        assert devices == [CPU] and warning is not None and warning.startswith("3 devices")
