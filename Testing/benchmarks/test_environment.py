"""Environments of their own that the scripts make: when one is used as it is, and what is said where none can be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import environment
import pytest

SCRIPTS = Path(environment.__file__).parent
MAKE = """
import sys
from pathlib import Path
import environment
import pytest
try:
    environment.ensure_apart(Path(sys.argv[1]), Path(sys.argv[2]))
except environment.NotMadeError as error:
    print(error, error.log, sep="\\n---\\n")
"""


def test_without_an_index_it_is_said_in_words_and_tried_again_the_next_time(tmp_path: Path) -> None:
    requirements = tmp_path / "other.txt"
    requirements.write_text("nowhere==1.0\n", encoding="utf-8")
    surroundings = {**os.environ, "PIP_NO_INDEX": "1", "PYTHONPATH": str(SCRIPTS)}
    command = [sys.executable, "-c", MAKE, str(requirements), str(tmp_path)]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True)
    message, _, log = done.stdout.partition("\n---\n")
    assert "Installing failed" in message and "it is the network" in message
    assert "ERROR" in log and "setuptools" in log
    assert not done.stderr
    assert not (tmp_path / "other" / environment.STAMP).exists()


def test_a_whole_environment_is_used_until_something_of_it_is_missing_or_another_is_wanted(tmp_path: Path) -> None:
    requirements, folder = tmp_path / "other.txt", tmp_path / "other"
    requirements.write_text("numpy\n", encoding="utf-8")
    python = environment._python(folder)
    python.parent.mkdir(parents=True)
    python.touch()
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = folder / "Lib" if os.name == "nt" else folder / "lib" / version
    (packages / "site-packages" / "numpy").mkdir(parents=True)
    sources = environment._sources(requirements, environment.ROOT / "constraints.txt")
    expected = {"place": environment._place(folder), "sources": sources}
    environment._write_stamp(folder, expected)
    assert environment.ensure_apart(requirements, tmp_path) == str(python)
    assert not environment._is_apart(folder, {**expected, "sources": "others"})
    (packages / "site-packages" / "numpy").rmdir()
    assert not environment._is_apart(folder, expected)


def test_what_a_link_leads_to_is_not_cleared(tmp_path: Path) -> None:
    requirements, elsewhere = tmp_path / "other.txt", tmp_path / "elsewhere"
    requirements.write_text("numpy\n", encoding="utf-8")
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (tmp_path / "other").symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(environment.NotMadeError, match=f"is a link to {elsewhere}"):
        environment.ensure_apart(requirements, tmp_path)
    assert (elsewhere / "kept").exists()
