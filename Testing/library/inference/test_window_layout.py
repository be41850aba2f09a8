"""Windows as nnU-Net lays them; expected numbers are what nnU-Net 2.8.1 gave for the same sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan, Preparation, Resampling
from MedSegTrainerLib.inference.sliding_window import predict_volume
from MedSegTrainerLib.inference.window_layout import NNUNET, OWN, layout_of

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("length", "size", "starts"),
    [(97, 41, [0, 19, 37, 56]), (110, 64, [0, 23, 46]), (35, 35, [0]), (5, 3, [0, 1, 2]), (21, 7, [0, 4, 7, 10, 14])],
)
def test_starts(length: int, size: int, starts: list[int]) -> None:
    """A step may be half a voxel: of 41 the windows are 20.5 apart at most."""
    assert [z for z, _, _ in NNUNET.starts((length, 4, 4), (size, 4, 4), 0.5)] == starts


def test_weights_are_cut_off_and_in_sixteen_bits() -> None:
    fade = NNUNET.fade((5, 8, 7), [], CPU)
    assert fade.dtype == torch.float32 and tuple(fade.shape) == (5, 8, 7)
    assert fade[2, 4].tolist() == [
        0.02801513671875,
        0.73388671875,
        5.203125,
        10.0,
        5.203125,
        0.73388671875,
        0.02801513671875,
    ]
    assert fade[:, 4, 3].tolist() == [0.05975341796875, 2.78125, 10.0, 2.78125, 0.05975341796875]
    assert float(fade[0, 0, 0]) == 5.960464477539063e-08 and float(fade.min()) > 0


def test_zeros_around_a_small_volume() -> None:
    image = torch.ones(2, 3, 4, 9)
    padded, start = NNUNET.pad(image, (6, 8, 5))
    assert (tuple(padded.shape), start) == ((2, 6, 8, 9), (1, 2, 0))
    assert torch.equal(padded[:, 1:4, 2:6], image) and float(padded.sum()) == float(image.sum())
    assert NNUNET.pad(image, (3, 4, 9))[0].shape == image.shape


@pytest.mark.parametrize("shape", [(7, 11, 9), (2, 5, 4), (3, 16, 5)])
def test_a_network_that_looks_at_voxels_alone_gives_them_back(shape: tuple[int, int, int]) -> None:
    image = torch.randn((2, *shape), generator=torch.Generator().manual_seed(3))
    result = predict_volume(
        image, lambda windows: windows, classes=2, patch=(3, 6, 5), overlap=0.5, batch=4, layout=NNUNET
    )
    torch.testing.assert_close(result, image)


def test_the_plan_says_which(tiny_plan: Plan) -> None:
    linear = Resampling(order=1, order_z=0)
    assert layout_of(tiny_plan) is OWN
    assert layout_of(replace(tiny_plan, preparation=Preparation(image=linear, logits=linear))) is NNUNET
