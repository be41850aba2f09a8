"""The training guide's tables: which row applies, what it gives, and that the reason names it."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.config.architectures import ARCHITECTURES, NNUNET, PLANNED
from MedSegTrainerLib.config.settings import LossConfig, OptimizerConfig, TrainerConfig
from MedSegTrainerLib.guide import tables as presets

CNN, DEEPLAB, TRANSFORMER = "UNet3D", "DeepLabV3Plus", "SwinUNETR"
BIG = 10**6  # voxels of a smallest class that is not small


class TestFamilies:
    def test_every_network_has_one(self) -> None:
        assert {architecture.family for architecture in ARCHITECTURES.values()} == set(presets.FAMILY_NAMES)

    @pytest.mark.parametrize(
        ("name", "family"),
        [(PLANNED, "unet"), (NNUNET[0], "unet"), ("VNet", "unet"), ("SegResNet", "unet"), ("DeepLabV3Plus", "deeplab"),
         ("TransUNet", "transformer"), ("UNETR", "transformer"), ("SwinUNETR", "transformer")],
    )  # fmt: skip
    def test_of_a_network(self, name: str, family: str) -> None:
        assert presets.family_of(name) == family


class TestLoss:
    @pytest.mark.parametrize(
        ("shares", "voxels", "row", "weights"),
        [
            ([0.55, 0.45], BIG, "balanced classes", {"cross_entropy": 1.0}),
            ([0.6, 0.4], 30, "small objects", {"dice": 1.0}),
            ([0.8, 0.2], BIG, "moderate imbalance (<10:1)", {"dice": 0.5, "cross_entropy": 0.5}),
            ([0.95, 0.05], BIG, "general medical imaging", {"dice": 0.5, "cross_entropy": 0.5}),
            ([0.95, 0.045, 0.005], BIG, "severe imbalance (>100:1)", {"dice": 0.5, "focal": 0.5}),
            ([0.999, 0.001], 30, "severe imbalance (>100:1)", {"dice": 0.5, "focal": 0.5}),
            ([0.8, 0.2, 0.0], BIG, "moderate imbalance (<10:1)", {"dice": 0.5, "cross_entropy": 0.5}),
        ],
        ids=["balanced", "small", "moderate", "in between", "severe", "severe and small", "a class without voxels"],
    )
    def test_row_for_the_data(self, shares: list[float], voxels: float, row: str, weights: dict[str, float]) -> None:
        settings, reason = presets.choose_loss(CNN, shares, voxels, 3)
        assert LossConfig(**settings).weights() == weights
        assert f"guide, '{row}'" in reason

    def test_every_row_is_a_loss(self) -> None:
        for settings in presets.LOSS_ROWS.values():
            assert sum(LossConfig(**settings).weights().values()) == pytest.approx(1.0)
        rows = presets.LOSS_ROWS
        assert LossConfig(**rows["complex boundaries"]).weights() == {
            "dice": 0.4,
            "cross_entropy": 0.4,
            "boundary": 0.2,
        }

    def test_the_planned_network_follows_the_row_for_severe_imbalance(self) -> None:
        settings, reason = presets.choose_loss(PLANNED, [0.97, 0.027, 0.003], BIG, 3)
        assert LossConfig(**settings).weights() == {"dice": 0.5, "focal": 0.5}
        assert "guide, 'severe imbalance (>100:1)'" in reason

    @pytest.mark.parametrize("shares", [[0.55, 0.45], [0.8, 0.2], [0.95, 0.05]])
    def test_the_planned_network_keeps_dice_and_cross_entropy_and_says_what_it_departs_from(
        self, shares: list[float]
    ) -> None:
        settings, reason = presets.choose_loss(PLANNED, shares, BIG, 3)
        assert LossConfig(**settings).weights() == {"dice": 0.5, "cross_entropy": 0.5}
        assert f"'{presets.loss_row(shares, BIG, 3)[0]}'" in reason


class TestOptimizer:
    @pytest.mark.parametrize(
        ("name", "cases", "kind", "rate", "word"),
        [
            (CNN, 60, "Adam", 1e-4, "U-Net, V-Net, SegResNet"),
            (CNN, 500, "Adam", 1e-4, "U-Net, V-Net, SegResNet"),
            (CNN, 501, "AdamW", 1e-4, "large dataset"),
            (DEEPLAB, 60, "SGD", 1e-2, "DeepLabV3+"),
            (DEEPLAB, 900, "SGD", 1e-2, "DeepLabV3+"),
            (TRANSFORMER, 60, "AdamW", 1e-4, "TransUNet, UNETR, Swin-UNETR"),
            (PLANNED, 60, "AdamW", 2e-3, "U-Net, V-Net, SegResNet"),
            (NNUNET[0], 60, "AdamW", 2e-3, "U-Net, V-Net, SegResNet"),
        ],
    )
    def test_by_model_and_cases(self, name: str, cases: int, kind: str, rate: float, word: str) -> None:
        chosen, reason = presets.choose_optimizer(name, cases)
        assert (chosen, presets.choose_rate(name, chosen)[0]) == (kind, rate)
        assert word in reason

    @pytest.mark.parametrize(("kind", "rate"), [("Adam", 1e-4), ("AdamW", 1e-4), ("SGD", 1e-2)])
    def test_rate_of_an_optimizer_set_by_hand(self, kind: str, rate: float) -> None:
        assert presets.choose_rate(DEEPLAB, kind)[0] == presets.choose_rate(CNN, kind)[0] == rate

    def test_the_planned_network_names_the_rate_it_departs_from(self) -> None:
        assert "0.0001" in presets.choose_rate(PLANNED, "AdamW")[1]

    @pytest.mark.parametrize(
        ("name", "kind", "cases", "parameters", "decay"),
        [
            (CNN, "Adam", 120, 3e7, 1e-5),
            (CNN, "Adam", 30, 3e7, 1e-4),
            (CNN, "Adam", 120, 6e7, 1e-4),
            (CNN, "SGD", 120, 3e7, 1e-4),
            (TRANSFORMER, "AdamW", 120, 6e7, 1e-4),
            (TRANSFORMER, "AdamW", 30, 6e7, 1e-3),
            (PLANNED, "AdamW", 120, 0, 1e-2),
            (NNUNET[1], "AdamW", 30, 0, 1e-2),
            (PLANNED, "Adam", 120, 0, 1e-5),
            (PLANNED, "SGD", 120, 0, 1e-4),
        ],
    )
    def test_weight_decay(self, name: str, kind: str, cases: int, parameters: int, decay: float) -> None:
        chosen, reason = presets.choose_decay(name, kind, cases, parameters)
        assert chosen == decay
        assert f"'{kind}: " in reason

    def test_every_kind_that_can_be_asked_for_is_known(self) -> None:
        for kind in (presets.TYPICAL_RATE, presets.WEIGHT_DECAY, presets.PLANNED_RATE, presets.PLANNED_DECAY):
            assert kind.keys() == {"Adam", "AdamW", "SGD"}
        assert OptimizerConfig(optimizer_type="SGD").momentum == 0.9  # the guide's, for DeepLabV3+

    @pytest.mark.parametrize(
        ("name", "kind", "schedule"),
        [(CNN, "Adam", "constant"), (CNN, "SGD", "polynomial"), (DEEPLAB, "SGD", "polynomial"),
         (TRANSFORMER, "AdamW", "cosine"), (PLANNED, "AdamW", "constant"), (PLANNED, "SGD", "polynomial")],
    )  # fmt: skip
    def test_schedule(self, name: str, kind: str, schedule: str) -> None:
        assert presets.choose_schedule(name, kind)[0] == schedule

    @pytest.mark.parametrize(
        ("name", "clip"), [(CNN, 5.0), (DEEPLAB, 5.0), (TRANSFORMER, 1.0), (PLANNED, 12.0), (NNUNET[1], 12.0)]
    )
    def test_clip(self, name: str, clip: float) -> None:
        chosen, reason = presets.choose_clip(name)
        assert chosen == clip
        assert "Transformer models: 1.0" in reason or "CNN models: 5.0" in reason
        assert TrainerConfig().gradient_clip_type == "norm"


class TestEpochs:
    @pytest.mark.parametrize(
        ("name", "cases", "lowest", "highest"),
        [
            (CNN, 20, 200, 200),
            (CNN, 50, 100, 200),
            (CNN, 200, 100, 200),
            (CNN, 201, 100, 150),
            (DEEPLAB, 20, 150, 150),
            (DEEPLAB, 90, 100, 150),
            (TRANSFORMER, 20, 200, 300),
            (TRANSFORMER, 90, 150, 200),
            (TRANSFORMER, 900, 150, 150),
        ],
    )
    def test_where_the_rows_by_cases_and_by_model_agree(self, name: str, cases: int, lowest: int, highest: int) -> None:
        span, reason = presets.epoch_range(name, cases)
        assert span == (lowest, highest)
        assert lowest <= presets.choose_epochs(name, cases)[0] <= highest
        assert f"{cases} cases" in reason and presets.FAMILY_NAMES[presets.family_of(name)] in reason

    @pytest.mark.parametrize(
        ("name", "epochs", "warmup"),
        [(TRANSFORMER, 150, 10), (TRANSFORMER, 300, 20), (TRANSFORMER, 3000, 20), (TRANSFORMER, 3, 0.2), (CNN, 150, 0),
         (DEEPLAB, 150, 0), (PLANNED, 40, 2), (PLANNED, 4000, 10)],
    )  # fmt: skip
    def test_warmup(self, name: str, epochs: int, warmup: float) -> None:
        assert presets.choose_warmup(name, epochs)[0] == pytest.approx(warmup)


class TestBatch:
    @pytest.mark.parametrize(
        ("name", "dims", "fitting", "batch"),
        [("UNet2D", 2, 0, 4), ("UNet2D", 2, 9, 9), ("UNet2D", 2, 99, 16), (CNN, 3, 0, 1), (CNN, 3, 99, 4),
         (TRANSFORMER, 3, 0, 2), (TRANSFORMER, 3, 99, 4), ("TransUNet", 2, 99, 4)],
    )  # fmt: skip
    def test_what_fits_within_the_limits(self, name: str, dims: int, fitting: int, batch: int) -> None:
        chosen, reason = presets.choose_batch(name, dims, fitting)
        assert chosen == batch
        assert "guide" in reason

    @pytest.mark.parametrize(
        ("name", "device", "expected"), [(TRANSFORMER, "cuda", True), (TRANSFORMER, "cpu", False), (CNN, "cuda", False)]
    )
    def test_mixed_precision_without_measuring(self, name: str, device: str, expected: bool) -> None:
        assert presets.wants_mixed_precision(name, device) == expected
