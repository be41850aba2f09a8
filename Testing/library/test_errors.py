"""The errors a user can cause: exit codes, all problems in one, and suggestions."""

from __future__ import annotations

import subprocess
import sys

import pytest

from MedSegTrainerLib import errors
from MedSegTrainerLib.errors import ConfigError, MedSegError, UsageError, did_you_mean

LIGHT = ("errors", "atomic", "classes", "config", "duration", "events", "job")


@pytest.mark.parametrize("name", ["DataError", "ModelError", "JobError", "StorageError", "TrainingError"])
def test_errors_of_a_run_exit_with_1(name: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, MedSegError)
    assert error.exit_code == 1


def test_errors_of_a_request_exit_with_2() -> None:
    assert UsageError.exit_code == ConfigError([]).exit_code == 2


class TestConfigError:
    def test_lists_every_problem(self) -> None:
        error = ConfigError(iter(["data.seed = -1: must be at least 0.", "kind: unknown."]))
        assert len(error.problems) == 2
        assert str(error).splitlines() == [
            "The configuration has 2 problems:",
            "  - data.seed = -1: must be at least 0.",
            "  - kind: unknown.",
        ]

    def test_one_problem_is_one(self) -> None:
        assert str(ConfigError(["a"])).startswith("The configuration has a problem:\n")


class TestDidYouMean:
    def test_names_the_nearest(self) -> None:
        assert did_you_mean("learning_rat", ["weight_decay", "learning_rate"]) == " Did you mean 'learning_rate'?"

    def test_lists_all_where_none_is_near(self) -> None:
        assert did_you_mean("xyz", ["train", "apply"]) == " Known: apply, train."

    def test_says_nothing_where_nothing_is_known(self) -> None:
        assert did_you_mean("xyz", []) == ""

    def test_does_not_list_more_than_anyone_reads(self) -> None:
        assert did_you_mean("xyz", map(str, range(100))) == ""


def test_what_slicer_imports_needs_no_other_package() -> None:
    """Slicer's Python has no torch and need not have pydantic: neither may be loaded."""
    code = (
        f"import sys\nfor name in {LIGHT}: __import__('MedSegTrainerLib.' + name)\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'SimpleITK', 'scipy', 'typer', 'rich'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
