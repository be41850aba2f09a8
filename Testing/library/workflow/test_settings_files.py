"""What people paste as a configuration file: sections, bare keys, a node, a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.errors import ConfigError, ModelError, UsageError
from MedSegTrainerLib.workflow.settings_files import read_object, settings_of, train_config


def problems(fragment: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings_of(fragment)
    return caught.value.problems


TWO_MEANINGS = (
    'gamma: stands for loss.gamma or trainer.gamma. Write it inside its section, as in {"loss": {"gamma": ...}}.'
)
LOADER = {"type": "MedicalSegmentationLoader", "name": "loader", "config": {"data_dir": "gone", "batch_size": "8"}}


@pytest.mark.parametrize(
    "fragment, settings",
    [
        ({}, {}),
        ({"trainer": {"epochs": 3}}, {"trainer": {"epochs": 3}}),
        (
            {"batch_size": "2", "gradient_accumulation_steps": "4"},
            {"data": {"batch_size": "2"}, "trainer": {"gradient_accumulation_steps": "4"}},
        ),
        ({"lr_schedule": "step", "gamma": "0.1"}, {"trainer": {"lr_schedule": "step", "gamma": "0.1"}}),
        ({"gamma": "2", "loss_type": "focal"}, {"loss": {"loss_type": "focal", "gamma": "2"}}),
        ({"loss": {"alpha": 1}, "gamma": "2"}, {"loss": {"alpha": 1, "gamma": "2"}}),
        ({"trainer": {"budget": "9m"}, "smooth": 0.5}, {"trainer": {"budget": "9m"}, "loss": {"smooth": 0.5}}),
        ({"type": "UNet2D", "base_channels": 8}, {"network": {"type": "UNet2D", "base_channels": 8}}),
        ({"type": "UNet2D"}, {"network": {"type": "UNet2D"}}),
        ({"start": {"model": "job"}, "epochs": 3}, {"start": {"model": "job"}, "trainer": {"epochs": 3}}),
        (
            {"type": "LossFunction", "name": "x", "config": {"gamma": "2.0"}},
            {"loss": {"gamma": "2.0"}},
        ),
        (
            {"type": "SwinUNETR", "name": "x", "config": {"embed_dim": "24"}},
            {"network": {"type": "SwinUNETR", "embed_dim": "24"}},
        ),
        (LOADER, {"data": {"batch_size": "8"}}),
        (
            {"nodes": [LOADER, {"type": "Trainer", "config": {"epochs": 9}}, {"type": "BatchPredictor"}]},
            {"data": {"batch_size": "8"}, "trainer": {"epochs": 9}},
        ),
        ({"trainer": 3, "epochs": 2}, {"trainer": 3}),
    ],
)
def test_becomes_settings_by_section(fragment: dict[str, Any], settings: dict[str, Any]) -> None:
    assert settings_of(fragment) == settings


@pytest.mark.parametrize(
    "fragment, message",
    [
        (
            {"gamma": 2},
            [TWO_MEANINGS],
        ),
        (
            {"gamma": 2, "loss_type": "focal", "lr_schedule": "step"},
            [TWO_MEANINGS],
        ),
        ({"epochs": 3, "trainer": {"epochs": 4}}, ["epochs: given twice, by itself and in 'trainer'. Keep one."]),
        (
            {"trainr": {}, "epoch": 3},
            ["trainr: unknown setting. Did you mean 'trainer'?", "epoch: unknown setting. Did you mean 'epochs'?"],
        ),
        (
            {"type": "LossFuncton", "config": {}},
            ["LossFuncton: 'LossFuncton' is no type of node. Did you mean 'LossFunction'?"],
        ),
        (
            {"type": "Optimizer", "name": "sgd", "config": {"momentun": 1, "epochs": 3}},
            [
                "sgd.momentun: unknown key. Did you mean 'momentum'?",
                "sgd.epochs: this key belongs to Trainer.",
            ],
        ),
        ({"config": {"epochs": 3}}, ["The node: must be an object with 'type', 'name' and 'config'."]),
        (
            {"type": "Visualizer", "config": {}},
            ["Visualizer: a Visualizer has no settings of a training. It belongs into a workflow."],
        ),
        ({"nodes": []}, ["nodes: a workflow is an object with a list 'nodes' that is not empty."]),
    ],
)  # fmt: skip
def test_mistakes_in_words(fragment: dict[str, Any], message: list[str]) -> None:
    assert problems(fragment) == message


class TestFile:
    def test_with_the_mark_of_windows_editors(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text('\ufeff{"epochs": 3}', encoding="utf-8")
        assert read_object(tmp_path / "a.json", "settings") == {"epochs": 3}

    @pytest.mark.parametrize(
        "content, message",
        [
            (b"[1]", "must hold an object with settings"),
            (b"{", "is not valid JSON"),
            (b"\xff\xfe\x00", "is not valid JSON"),
            (None, "cannot be read"),
        ],
    )
    def test_that_is_none(self, tmp_path: Path, content: bytes | None, message: str) -> None:
        if content is not None:
            (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(UsageError, match=message):
            read_object(tmp_path / "a.json", "settings")


def test_a_model_to_begin_with_must_be_there_before_there_is_a_job(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"The model .*nowhere does not exist\. Check the path\."):
        train_config(tmp_path, None, [f"start.model={tmp_path / 'nowhere'}"])


def test_the_folder_that_jobs_share_need_not_exist_and_counts_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that trains is in another folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    config = train_config(Path("data"), None, ["cache_dir=shared", "cache_gb=3"])
    assert (config.data.cache_dir, config.data.cache_gb) == (str((tmp_path / "shared").resolve()), 3.0)
