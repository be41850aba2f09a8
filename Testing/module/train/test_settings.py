import json
from dataclasses import asdict

import pytest
from MedSegTrainerUI.train.settings import (
    GROUPS,
    all_settings,
    full_key,
    parse_value,
    read_changes,
    show_value,
    training_config,
)
from MedSegTrainerUI.train.settings_form import tooltip

from MedSegTrainerLib.config import TrainConfig
from MedSegTrainerLib.errors import UsageError


def setting(key):
    return all_settings()[key]


def test_every_setting_of_a_training_is_there_but_those_of_the_panel():
    config = asdict(TrainConfig())
    keys = {f"{section}.{name}" for section, values in config.items() for name in values}
    by_the_panel = {"data.data_dir", "data.image_names", "data.label_name", "trainer.budget"}
    assert keys - all_settings().keys() == {*by_the_panel, "start.model", "start.rename", "start.adapt"}
    assert {item.group for item in all_settings().values()} == set(GROUPS)


@pytest.mark.parametrize("key", list(all_settings()))
def test_what_is_shown_is_understood(key):
    item = setting(key)
    for value in (item.default, *item.choices):
        assert parse_value(item, show_value(value)) == value
        assert parse_value(item, value) == value
    assert all(parse_value(item, option) is not Ellipsis for option in item.options)
    assert item.help and item.range


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("optimizer.learning_rate", "1e-3", 0.001), ("optimizer.learning_rate", "Auto", "auto"),
        ("optimizer.betas", "[0.9, 0.99]", [0.9, 0.99]), ("data.patch_size", "32, 64, 64", [32, 64, 64]),
        ("data.image_size", "256", 256), ("data.image_size", [256, 128], [256, 128]),
        ("network.dims", "2", 2), ("network.deep_supervision", "no", False), ("data.shuffle", "true", True),
        ("data.flip_axes", "x, z", ["x", "z"]), ("trainer.gradient_clip", "none", None), ("data.fold", None, None),
        ("trainer.epochs", 100.0, 100), ("trainer.epochs", "100", 100), ("loss.alpha", "0.1, 0.9", [0.1, 0.9]),
        ("trainer.monitor", "val_dice/liver", "val_dice/liver"), ("optimizer.optimizer_type", "adamw", "AdamW"),
    ],
)  # fmt: skip
def test_values_are_read_as_people_write_them(key, text, value):
    read = parse_value(setting(key), text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("optimizer.learning_rate", "fast"), ("optimizer.learning_rate", "-1"), ("optimizer.learning_rate", "nan"),
        ("trainer.epochs", "2.5"), ("trainer.epochs", "0"), ("trainer.epochs", True), ("data.overlap", "0.95"),
        ("data.patch_size", "32, x"), ("data.patch_size", ""), ("data.flip_axes", "x, w"), ("network.dims", "4"),
        ("data.shuffle", "perhaps"), ("loss.loss_type", "diced"), ("network.dims", {"a": 1}),
    ],
)  # fmt: skip
def test_what_is_not_possible_is_refused_with_what_is(key, text):
    with pytest.raises(UsageError, match=r"is not possible\. Possible is") as caught:
        parse_value(setting(key), text)
    assert setting(key).label in str(caught.value)


def test_limits_and_help_are_in_the_tooltip():
    assert setting("data.overlap").range == "a number from 0 to 0.9"
    assert setting("trainer.epochs").range == "a whole number from 1 to 1000000 or auto"
    assert setting("loss.loss_type").range == "auto, dice, cross_entropy, focal, boundary, combined"
    told = tooltip(setting("data.overlap"))
    assert "Share of a window" in told and "Default: 0.25" in told and "data.overlap" in told


def test_only_changes_are_kept_and_unknown_ones_are_left_out():
    text = json.dumps({"loss.loss_type": "dice", "data.seed": 42, "old.setting": 1, "trainer.epochs": "many"})
    assert read_changes(text) == {"loss.loss_type": "dice"}
    assert read_changes("") == read_changes("[]") == read_changes("{") == {}


def test_a_configuration_is_made_of_the_changes(tmp_path):
    config = training_config({"loss.loss_type": "dice"}, 5, tmp_path, "cuda:1")
    assert config.loss.loss_type == "dice" and config.trainer.budget == "5m" and config.trainer.device == "cuda:1"
    assert config.data.data_dir == str(tmp_path) and config.trainer.lr_schedule == "auto"
    endless = training_config({"trainer.validation_interval": 2}, 0, tmp_path)
    assert endless.trainer.lr_schedule == "plateau" and endless.trainer.validation_interval == 2
    assert endless.trainer.budget == "1000h"
    assert training_config({"trainer.device": "cpu"}, 5, tmp_path, "cuda:1").trainer.device == "cpu"


def test_short_names_of_settings_are_found():
    assert full_key("epochs") == "trainer.epochs" and full_key("optimizer.momentum") == "optimizer.momentum"
    assert full_key("gamma") is None and full_key("nothing") is None
