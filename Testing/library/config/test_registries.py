"""What stands in the registries is there, and fits: whoever adds a line has no other list to keep."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pkgutil import resolve_name
from typing import Any, get_args, get_type_hints

import pytest

from MedSegTrainerLib.config.architectures import ARCHITECTURES
from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.config.logged_metrics import LOGGED_METRICS, MEAN_DICE, accuracy, foreground_ratio, logged_metric
from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.config.result_formats import RESULT_FORMATS, format_names
from MedSegTrainerLib.config.settings import JobConfig, LossConfig, NetworkConfig
from MedSegTrainerLib.events import Epoch
from MedSegTrainerLib.jobs.kinds import JOB_KINDS
from MedSegTrainerLib.metrics.counts import Overlap
from MedSegTrainerLib.metrics.metrics import METRICS


def options(cls: type, setting: str) -> set[Any]:
    return set(get_args(get_type_hints(cls)[setting]))


class TestKinds:
    @pytest.mark.parametrize("name", JOB_KINDS)
    def test_settings_know_their_kind_and_the_runner_is_there(self, name: str) -> None:
        kind = JOB_KINDS[name]
        settings = kind.load_settings()
        assert name == settings.KIND and issubclass(settings, JobConfig)
        assert callable(resolve_name(kind.runner))
        assert not settings.CHECK or resolve_name(settings.CHECK)(settings()) == []

    def test_an_evaluation_does_not_wait_for_torch(self) -> None:
        code = (
            "import sys\n"
            "from MedSegTrainerLib.jobs.kinds import JOB_KINDS, parse_job\n"
            "parse_job({'kind': 'evaluate', 'config': {'labels': 'l'}})\n"
            "from pkgutil import resolve_name\n"
            "resolve_name(JOB_KINDS['evaluate'].runner)\n"
            "sys.exit('torch' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestNetworks:
    def test_each_can_be_asked_for(self) -> None:
        assert options(NetworkConfig, "type") == {"auto", *ARCHITECTURES}

    @pytest.mark.parametrize("name", ARCHITECTURES)
    def test_its_own_settings_can_be_set(self, name: str) -> None:
        assert set(ARCHITECTURES[name].settings) <= {item.name for item in fields(NetworkConfig)}
        assert callable(resolve_name(ARCHITECTURES[name].builder))


class TestLosses:
    def test_each_can_be_asked_for(self) -> None:
        assert options(LossConfig, "loss_type") == {"auto", "combined", *LOSS_TERMS}

    @pytest.mark.parametrize("name", LOSS_TERMS)
    def test_its_own_settings_can_be_set(self, name: str) -> None:
        term = LOSS_TERMS[name]
        assert {term.weight, term.class_weights} - {""} <= {item.name for item in fields(LossConfig)}
        assert callable(resolve_name(term.builder))

    @pytest.mark.parametrize("name", LOSS_TERMS)
    def test_distances_are_for_terms_at_full_resolution(self, name: str) -> None:
        assert LOSS_TERMS[name].is_ramped or "surface" not in LOSS_TERMS[name].needs


class TestFormats:
    def test_each_can_be_asked_for(self) -> None:
        assert options(ApplyConfig, "output_format") == set(RESULT_FORMATS)

    @pytest.mark.parametrize("name", RESULT_FORMATS)
    def test_writer_and_name(self, name: str) -> None:
        entry = RESULT_FORMATS[name]
        assert not entry.writer or callable(resolve_name(entry.writer))
        assert (entry.same_as or name) in format_names()
        assert entry.suffix == RESULT_FORMATS[entry.same_as or name].suffix

    def test_the_help_names_each_once(self) -> None:
        assert format_names().startswith("seg.nrrd (keeps names and colours), nii.gz, mha, png (2D), npy")
        names = [text.partition(" ")[0] for text in format_names().split(", ")]
        assert names == [name for name, known in RESULT_FORMATS.items() if not known.same_as]


class TestLoggedMetrics:
    @pytest.mark.parametrize("name", LOGGED_METRICS)
    def test_is_known_where_it_comes_from(self, name: str) -> None:
        metric = LOGGED_METRICS[name]
        assert metric.of_epoch == (name in {item.name for item in fields(Epoch)}) == (not name.startswith("val_"))
        assert not metric.of_class or f"val_{metric.of_class}" == name

    @pytest.mark.parametrize("name", [name for name, metric in LOGGED_METRICS.items() if metric.of_class])
    def test_of_classes_counts_are_enough(self, name: str) -> None:
        """Of one structure, half of it found: surfaces are not measured while training."""
        half = Overlap(intersection=5, predicted=5, reference=10, voxels=100, voxel_ml=0.0)
        value = METRICS[LOGGED_METRICS[name].of_class].measure(half)
        assert value is not None and 0 < value <= 1
        assert METRICS[LOGGED_METRICS[name].of_class].better == LOGGED_METRICS[name].better

    def test_tags_differ(self) -> None:
        tags = [metric.tag for metric in LOGGED_METRICS.values()]
        assert len(set(tags)) == len(tags)

    def test_that_of_a_class(self) -> None:
        assert logged_metric("val_dice/a/b") is LOGGED_METRICS[MEAN_DICE] and logged_metric("dice") is None

    def test_of_whole_cases(self) -> None:
        tables = [[[6, 2], [0, 2]], [[1, 0], [1, 0]], [[0, 0], [0, 0]]]
        assert accuracy(tables) == pytest.approx((0.8 + 0.5) / 2)
        assert foreground_ratio(tables) == pytest.approx(4 / 3)
        assert accuracy(tables[2:]) is None and foreground_ratio(tables[2:]) is None
