"""Untrusted settings: text becomes values, and everything wrong is told at once with its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSegTrainerLib.config.job_settings import (
    ApplyConfig,
    CrossValidateConfig,
    EvaluateConfig,
    FindRateConfig,
    job_document,
)
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import DataConfig, NetworkConfig, OptimizerConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.jobs.kinds import JOB_KINDS, parse_job


def problems(values: Any, cls: type = TrainConfig) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(cls, values)
    return caught.value.problems


class TestText:
    """Workflow documents write every value as text."""

    @pytest.mark.parametrize(
        "section, name, text, value",
        [
            ("optimizer", "learning_rate", "0.0001", 0.0001),
            ("optimizer", "learning_rate", "1e-4", 0.0001),
            ("optimizer", "learning_rate", "auto", "auto"),
            ("optimizer", "betas", "[0.9, 0.99]", [0.9, 0.99]),
            ("optimizer", "nesterov", "false", False),
            ("trainer", "epochs", "150", 150),
            ("trainer", "mixed_precision", "true", True),
            ("trainer", "mixed_precision", "auto", "auto"),
            ("trainer", "gradient_clip", "1.0", 1.0),
            ("data", "spacing", "[2.5, 1, 1]", [2.5, 1.0, 1.0]),
            ("data", "patch_size", "[16, 64, 64]", [16, 64, 64]),
            ("data", "flip_axes", '["x", "y"]', ["x", "y"]),
            ("data", "fold", "2", 2),
            ("data", "seed", "7", 7),
            ("network", "dims", "2", 2),
            ("network", "dims", "auto", "auto"),
            ("network", "deep_supervision", "true", True),
        ],
    )
    def test_becomes_the_value(self, section: str, name: str, text: str, value: Any) -> None:
        parsed = getattr(getattr(parse_config(TrainConfig, {section: {name: text}}), section), name)
        assert parsed == value
        assert type(parsed) is type(value)

    def test_values_of_json_stay(self) -> None:
        config = parse_config(TrainConfig, {"network": {"dims": 3}, "data": {"patch_size": [8, 8, 8]}})
        assert config.network == NetworkConfig(dims=3)
        assert config.data == DataConfig(patch_size=[8, 8, 8])

    def test_a_name_that_is_a_number_stays_text(self) -> None:
        assert parse_config(ApplyConfig, {"model": "3"}).model == "3"


class TestProblems:
    def test_all_at_once_with_their_paths(self) -> None:
        reported = problems(
            {
                "data": {"fold": "x", "sed": 7},
                "optimizer": {"learning_rate": "abc", "optimizer_type": "Adm"},
                "trainr": {},
            }
        )
        assert {line.split(" = ")[0].split(":")[0] for line in reported} == {
            "data.fold", "data.sed", "optimizer.learning_rate", "optimizer.optimizer_type", "trainr",
        }  # fmt: skip
        assert "data.sed: unknown setting. Did you mean 'seed'?" in reported
        assert "trainr: unknown setting. Did you mean 'trainer'?" in reported
        assert any(line.startswith("optimizer.optimizer_type = 'Adm': Input should be 'auto', ") for line in reported)

    def test_alternatives_of_one_setting_are_one_problem(self) -> None:
        reported = problems({"network": {"dims": 4}})
        assert reported == ["network.dims = 4: Input should be 2 or 3; or: Input should be 'auto'"]

    @pytest.mark.parametrize(
        "values, message",
        [
            ({"data": {"train_split": 1.2}}, "data.train_split = 1.2: must be at most 1."),
            ({"data": {"seed": -1}}, "data.seed = -1: must be at least 0."),
            ({"loss": {"class_weights": "[0.3, -0.7]"}}, "loss.class_weights = -0.7: must be at least 0."),
            ({"trainer": {"epochs": 0}}, "trainer.epochs = 0: must be at least 1."),
            ({"optimizer": {"betas": [0.9, 1.5]}}, "optimizer.betas = 1.5: must be at most 0.9999999."),
            ({"optimizer": {"learning_rate": "nan"}}, "optimizer.learning_rate = nan: must be a finite number."),
            ({"optimizer": {"learning_rate": "inf"}}, "optimizer.learning_rate = inf: must be a finite number."),
            ({"data": {"cache_dir": "shared"}}, "data.cache_dir = 'shared': give the whole path of the folder."),
            (
                {"data": {"ignore_label": 0}},
                "data.ignore_label = 0: 0 is background. Give voxels that nobody labelled another value.",
            ),
            (
                {"loss": {"loss_type": "focal", "alpha": "[0, 0]"}},
                "loss.alpha = [0.0, 0.0]: all are 0, so the focal term would learn nothing.",
            ),
            (
                {"loss": {"loss_type": "combined", "class_weights": [0, 0]}},
                "loss.class_weights = [0.0, 0.0]: all are 0, so the cross_entropy term would learn nothing.",
            ),
        ],
    )
    def test_limits(self, values: dict[str, Any], message: str) -> None:
        assert message in problems(values)

    def test_limits_themselves_are_inside(self) -> None:
        parse_config(TrainConfig, {"data": {"train_split": 1, "val_split": 0, "test_split": 0, "seed": 0}})
        parse_config(ApplyConfig, {"overlap": 0.9})

    @pytest.mark.parametrize(
        "values, message",
        [
            ({"data": {"fold": 5}}, "data.fold = 5: with 5 folds it is 0 to 4."),
            (
                {"data": {"train_split": 0.8, "val_split": 0.3, "test_split": 0.1}},
                "data.train_split + val_split + test_split = 1.2: must not exceed 1.",
            ),
            (
                {"loss": {"loss_type": "combined", "dice_weight": 0, "ce_weight": "0"}},
                "loss: every weight of 'combined' is 0, so nothing would be learned. Give one of them.",
            ),
            ({"data": {"spacing": [1, 1]}}, "data.spacing = [1.0, 1.0]: give three positive numbers (z, y, x)."),
            ({"data": {"patch_size": []}}, "data.patch_size = []: give three positive numbers (z, y, x)."),
            ({"data": {"patch_size": [8, 0, 8]}}, "data.patch_size = 0: must be at least 1."),
            ({"data": {"spacing": [1, 0, 1]}}, "data.spacing = 0.0: must be at least 1e-06."),
            ({"optimizer": {"betas": [0.9]}}, "optimizer.betas = [0.9]: give two numbers."),
            (
                {"trainer": {"budget": "soon"}},
                "trainer.budget = 'soon': 'soon' is no duration; write 20m, 1h30m or 90s.",
            ),
        ],
    )  # fmt: skip
    def test_contradictions(self, values: dict[str, Any], message: str) -> None:
        assert problems(values) == [message]

    def test_limits_and_contradictions_together(self) -> None:
        assert len(problems({"data": {"seed": -1, "fold": 9}, "trainer": {"budget": "soon", "patience": 0}})) == 4

    def test_checkpoints_lie_in_the_job_or_where_an_absolute_path_says(self, tmp_path: Path) -> None:
        for name in ("../..", "checkpoints/../../x"):
            (problem,) = problems({"trainer": {"checkpoint_dir": name}})
            assert problem.startswith(f"trainer.checkpoint_dir = {name}: leads out of the job folder. Give")
        for name in ("checkpoints/unet", "a..b", str(tmp_path / ".." / "x")):
            parse_config(TrainConfig, {"trainer": {"checkpoint_dir": name}})

    def test_a_split_file_has_its_own_folds(self) -> None:
        parse_config(TrainConfig, {"data": {"fold": 7, "split_file": "folds.json"}})

    @pytest.mark.parametrize("values", [None, 3, [1], "text"])
    def test_no_object(self, values: Any) -> None:
        assert len(problems(values)) == 1

    def test_a_section_that_is_no_object(self) -> None:
        assert problems({"data": 3})[0].startswith("data = 3: ")


class TestDefaults:
    @pytest.mark.parametrize("kind", sorted(JOB_KINDS))
    def test_are_valid_and_survive_a_round_trip(self, kind: str) -> None:
        config = JOB_KINDS[kind].load_settings()()
        assert parse_job(job_document(config)) == config

    def test_values_survive_a_round_trip(self) -> None:
        config = TrainConfig(
            data=DataConfig(spacing=[3.0, 1.0, 1.0], flip_axes=["x"], fold=1),
            optimizer=OptimizerConfig(learning_rate=0.01),
            trainer=TrainerConfig(budget="20m", gradient_clip=None),
        )
        assert parse_job(job_document(config)) == config


class TestParseJob:
    def test_finds_the_class_of_the_kind(self) -> None:
        assert parse_job({"kind": "evaluate", "config": {"labels": "l"}}) == EvaluateConfig(labels="l")

    def test_without_settings(self) -> None:
        assert parse_job({"kind": "train"}) == TrainConfig()

    @pytest.mark.parametrize(
        "document, message",
        [
            ([], "must hold an object, not list"),
            ({}, "'None' is no kind of job"),
            ({"kind": "trian"}, "'trian' is no kind of job. Did you mean 'train'?"),
            ({"kind": "train", "schema_version": 2}, "schema_version: 2; this version reads 1"),
            ({"kind": "train", "confg": {}}, "confg: unknown key"),
        ],
    )
    def test_wrong_documents(self, document: Any, message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_job(document)
        assert message in str(caught.value)

    def test_tells_all_of_a_wrong_document(self) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_job({"kind": "x", "schema_version": 0, "a": 1, "b": 2})
        assert len(caught.value.problems) == 4


class TestWithSettings:
    def test_with_and_without_section(self) -> None:
        values = with_settings({}, ["optimizer.learning_rate=0.01", "epochs=5", "seed=3"])
        assert values == {"optimizer": {"learning_rate": "0.01"}, "trainer": {"epochs": "5"}, "data": {"seed": "3"}}
        assert parse_config(TrainConfig, values).optimizer.learning_rate == 0.01

    def test_what_was_given_stays_and_is_not_changed(self) -> None:
        given = {"data": {"seed": 1, "folds": 4}}
        assert with_settings(given, ["seed=2"]) == {"data": {"seed": "2", "folds": 4}}
        assert given == {"data": {"seed": 1, "folds": 4}}

    def test_the_last_word_counts(self) -> None:
        assert with_settings({}, ["seed=1", "data.seed=2"]) == {"data": {"seed": "2"}}

    def test_none(self) -> None:
        values = with_settings({}, ["gradient_clip=none"])
        assert parse_config(TrainConfig, values).trainer.gradient_clip is None

    def test_a_value_may_hold_equals_signs(self) -> None:
        assert with_settings({}, ["split_file=a=b.json"]) == {"data": {"split_file": "a=b.json"}}

    def test_of_a_job_without_sections(self) -> None:
        assert with_settings({}, ["overlap=0.7"], ApplyConfig) == {"overlap": "0.7"}

    def test_tells_all_problems(self) -> None:
        with pytest.raises(ConfigError) as caught:
            with_settings({}, ["learning_rat=1", "epochs", "nonsense=1", "seed=1"])
        assert len(caught.value.problems) == 3
        assert "learning_rat: unknown setting. Did you mean 'learning_rate'?" in caught.value.problems
        assert "--set epochs: write it as key=value." in caught.value.problems

    def test_a_key_of_two_sections_needs_its_section(self) -> None:
        from dataclasses import dataclass, field

        @dataclass(frozen=True, kw_only=True)
        class Section:
            size: int = 1

        @dataclass(frozen=True, kw_only=True)
        class Twice:
            first: Section = field(default_factory=Section)
            second: Section = field(default_factory=Section)

        # with postponed annotations, local classes are not found by name
        Twice.__annotations__ = {"first": Section, "second": Section}
        with pytest.raises(ConfigError, match=r"size: stands for first\.size or second\.size"):
            with_settings({}, ["size=3"], Twice)
        assert with_settings({}, ["second.size=3"], Twice) == {"second": {"size": "3"}}

    @pytest.mark.parametrize("section", [3, None, "text", [1]])
    def test_a_section_that_is_no_object(self, section: Any) -> None:
        with pytest.raises(ConfigError, match=r"data = .*must be an object"):
            with_settings({"data": section}, ["seed=1"])


class TestDevices:
    @pytest.mark.parametrize(
        ("values", "cls", "message"),
        [
            ({"devices": 0}, CrossValidateConfig, "devices = 0: must be at least 1."),
            ({"devices": "all"}, CrossValidateConfig, "devices = 'all': Input should be a valid integer"),
            ({"devices": 0}, ApplyConfig, "devices = 0: must be at least 1."),
            ({"devices": "2", "device": "cuda:1"}, ApplyConfig, "device = 'cuda:1' and devices = 2: that is a single"),
            (
                {"devices": "auto", "train": {"trainer": {"devices": 2}}}, CrossValidateConfig,
                "train.trainer.devices = 2 and devices = auto: either several devices train each fold",
            ),
        ],
    )  # fmt: skip
    def test_what_contradicts(self, values: dict[str, Any], cls: type, message: str) -> None:
        (problem,) = problems(values, cls)
        assert problem.startswith(message)

    def test_with_all_that_is_wrong_in_the_training(self) -> None:
        train = {"data": {"fold": 9}, "trainer": {"device": "cuda:1", "budget": "soon"}}
        reported = problems({"devices": 3, "train": train}, CrossValidateConfig)
        assert [problem.split(" = ")[0] for problem in reported] == [
            "train.data.fold", "train.trainer.budget", "train.trainer.device",
        ]  # fmt: skip

    @pytest.mark.parametrize(("device", "devices"), [("cuda:1", 1), ("cuda:1", "auto"), ("cuda", 4), ("auto", "2")])
    def test_what_goes_together(self, device: str, devices: Any) -> None:
        parse_config(CrossValidateConfig, {"devices": devices, "train": {"trainer": {"device": device}}})
        assert parse_config(ApplyConfig, {"devices": devices, "device": device}).devices in (1, 2, 4, "auto")


class TestNested:
    """A learning rate range test has the settings of a training inside its own."""

    def test_text_becomes_values(self) -> None:
        values = {"train": {"optimizer": {"betas": "[0.8, 0.9]"}, "network": {"dims": "2"}}, "steps": "30"}
        config = parse_config(FindRateConfig, values)
        assert (config.train.optimizer.betas, config.train.network.dims, config.steps) == ([0.8, 0.9], 2, 30)

    def test_what_was_written_is_read(self) -> None:
        config = FindRateConfig(train=TrainConfig(optimizer=OptimizerConfig(learning_rate=0.3)), highest=0.5)
        assert parse_job(job_document(config)) == config

    @pytest.mark.parametrize(
        "values, message",
        [
            ({"train": {"optimizer": {"learning_rat": 1}}}, "train.optimizer.learning_rat: unknown setting."),
            ({"train": {"optimiser": {}}}, "train.optimiser: unknown setting."),
            ({"train": {"data": {"seed": -1}}}, "train.data.seed = -1: must be at least 0."),
            ({"train": {"data": {"fold": 9}}}, "train.data.fold = 9: with 5 folds it is 0 to 4."),
            ({"steps": 3}, "steps = 3: must be at least 20."),
            ({"lowest": 0}, "lowest = 0.0: must be at least 1e-12."),
            ({"lowest": 0.1, "highest": 0.01}, "lowest = 0.1 and highest = 0.01: the lowest must be"),
        ],
    )  # fmt: skip
    def test_problems_have_the_whole_path(self, values: dict[str, Any], message: str) -> None:
        (problem,) = problems(values, FindRateConfig)
        assert problem.startswith(message)

    def test_a_near_name_is_told(self) -> None:
        (problem,) = problems({"train": {"optimizer": {"learning_rat": 1}}}, FindRateConfig)
        assert "learning_rate" in problem.removeprefix("train.optimizer.learning_rat:")

    @pytest.mark.parametrize("key", ["learning_rate", "optimizer.learning_rate", "train.optimizer.learning_rate"])
    def test_assignments_find_their_place(self, key: str) -> None:
        given: dict[str, Any] = {"train": {"optimizer": {"eps": 1e-6}}, "steps": 40}
        settings = with_settings(given, [f"{key}=0.2"], FindRateConfig)
        assert settings == {"train": {"optimizer": {"eps": 1e-6, "learning_rate": "0.2"}}, "steps": 40}
        assert given == {"train": {"optimizer": {"eps": 1e-6}}, "steps": 40}

    @pytest.mark.parametrize("values", [{"train": 3}, {"train": {"data": [1]}}, {"train": None}])
    def test_what_is_no_section(self, values: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="must be an object"):
            with_settings(values, ["seed=1"], FindRateConfig)


class TestValuesOfPython:
    """What the Python API is given is taken as it is, never by way of text."""

    @pytest.mark.parametrize(
        "name, value, kept",
        [
            ("data.flip_axes", ["x"], ["x"]),
            ("data.flip_axes", (), []),
            ("data.image_names", ["t1", "a, 'b'"], ["t1", "a, 'b'"]),
            ("data.spacing", (1, 1, 2.5), [1.0, 1.0, 2.5]),
            ("data.spacing", np.array([1.0, 1.0, 2.5]), [1.0, 1.0, 2.5]),
            ("data.spacing", [np.float32(0.5)] * 3, [0.5, 0.5, 0.5]),
            ("data.seed", np.int64(7), 7),
            ("data.split_file", Path("folds.json"), "folds.json"),
            ("data.label_name", "[seg]", "[seg]"),
            ("trainer.gradient_clip", None, None),
            ("trainer.early_stopping", np.bool_(True), True),
            ("network.dims", np.int32(2), 2),
        ],
    )
    def test_stay(self, name: str, value: Any, kept: Any) -> None:
        section, key = name.split(".")
        for given in ({key: value}, {name: value}, {section: {key: value}}):
            config = parse_config(TrainConfig, with_settings({}, given.items()))
            assert getattr(getattr(config, section), key) == kept

    def test_of_other_jobs(self) -> None:
        config = parse_config(
            ApplyConfig, {"model": Path("a"), "tta_transforms": ("flip_x",), "overlap": np.float64(0.3)}
        )
        assert config == ApplyConfig(model="a", tta_transforms=["flip_x"], overlap=0.3)

    def test_unknown_ones_are_told_as_on_the_command_line(self) -> None:
        with pytest.raises(ConfigError) as caught:
            with_settings({}, {"loss": {"gama": 1}, "sed": [1]}.items())
        assert caught.value.problems[0].startswith("loss.gama: unknown setting. Did you mean 'loss.gamma'?")
        assert caught.value.problems[1] == "sed: unknown setting. Did you mean 'seed'?"


class TestHostile:
    """Values that no form offers: each is refused in words, in no time."""

    @pytest.mark.parametrize(
        "values, message",
        [
            ({"data": {"spacing": "[1, 1"}}, "data.spacing = '[1, 1' is not valid JSON: "),
            ({"data": {"spacing": "[" * 100_000}}, "data.spacing = '[[[["),
            ({"data": {"flip_axes": "[x]"}}, "data.flip_axes = '[x]' is not valid JSON: "),
            ({"data": {"seed": "9" * 5000}}, "data.seed = '9999"),
            ({"data": {"seed": 10**400}}, "data.seed = a number of 1329 bits: must be at most"),
            ({"data": {"seed": 10**9000}}, "data.seed = a number of 29898 bits"),
            ({"optimizer": {"learning_rate": 10**400}}, "optimizer.learning_rate = "),
            ({"data": {"seed": True}}, "data.seed = True: give a number or text, not true or false."),
            ({"data": {"spacing": [True, 1, 1]}}, "data.spacing = [True, 1, 1]: give a number"),
            ({"data": {"data_dir": "a\0b"}}, "data.data_dir = 'a\\x00b': there is a character in it (NUL)"),
            ({"data": {"\x1b[2J": 1}}, "data.\\x1b[2J: unknown setting."),
            ({"network": {"type": "DeepLabV3Plus", "aspp_rates": [1] * 10_000}}, "network.aspp_rates = [1, 1, 1"),
            (
                {"network": {"type": "DeepLabV3Plus", "aspp_rates": []}},
                "network.aspp_rates = []: give 1 to 16 numbers.",
            ),
            ({"trainer": {"budget": "9" * 100_000}}, "trainer.budget = "),
            ({"trainer": {"budget": "99999999h"}}, "is more than the 10000 hours that are possible."),
        ],
    )
    def test_text_and_numbers(self, values: dict[str, Any], message: str) -> None:
        (line,) = problems(values)
        assert message in line and len(line) < 3000

    def test_a_list_of_nested_lists_is_cut_where_it_is_told(self) -> None:
        assert all(len(line) < 400 for line in problems({"data": {"spacing": [[1] * 10_000]}}))

    def test_endless_mistakes_are_counted(self) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_config(TrainConfig, {"data": {f"key {number}": 1 for number in range(20_000)}})
        assert "more problems of this kind" in caught.value.problems[-1] and len(str(caught.value)) < 30_000

    def test_text_that_is_wrong_hides_no_other_problem(self) -> None:
        reported = problems({"data": {"spacing": "[1", "seed": -1}, "trainer": {"epochs": True}})
        assert [line.split(" = ")[0] for line in reported] == ["data.spacing", "trainer.epochs", "data.seed"]

    @pytest.mark.parametrize(
        "values, message",
        [
            ({"trainer": {"devices": 10**21}}, "trainer.devices = 1000000000000000000000: must be at most 256."),
            ({"data": {"seed": 10**21}}, "data.seed = 1000000000000000000000: must be at most 9007199254740992."),
            ({"optimizer": {"learning_rate": 1e9}}, "optimizer.learning_rate = 1000000000.0: must be at most 10.0."),
            ({"optimizer": {"learning_rate": 0}}, "optimizer.learning_rate = 0.0: must be at least 1e-12."),
            ({"data": {"num_workers": 10**6}}, "data.num_workers = 1000000: must be at most 512."),
            ({"data": {"batch_size": 10**6}}, "data.batch_size = 1000000: must be at most 4096."),
            (
                {"optimizer": {"learning_rate": 1e-3}, "trainer": {"eta_min": 0.1}},
                "trainer.eta_min = 0.1 and optimizer.learning_rate = 0.001: the smallest rate is above the largest. "
                "Make it smaller.",
            ),
            (
                {"trainer": {"epochs": 5, "warmup_epochs": 10}},
                "trainer.warmup_epochs = 10 and epochs = 5: the rate would never reach its full height. Make the "
                "warm-up shorter.",
            ),
        ],
    )  # fmt: skip
    def test_limits(self, values: dict[str, Any], message: str) -> None:
        assert problems(values) == [message]

    def test_decays_of_one(self) -> None:
        assert problems({"optimizer": {"betas": [1, 1]}}) == ["optimizer.betas = 1.0: must be at most 0.9999999."]

    def test_a_low_rate_goes_with_the_usual_eta_min(self) -> None:
        parse_config(TrainConfig, {"optimizer": {"learning_rate": 1e-7}})
