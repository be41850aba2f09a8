from __future__ import annotations

from pathlib import Path

import pytest
from MedSegTrainerUI.environment import wheel_folder
from MedSegTrainerUI.environment.wheel_folder import missing_wheels, missing_wheels_text, python_versions, venv_version

RESOURCES = Path(wheel_folder.__file__).resolve().parents[2] / "Resources"
NAMES = (
    "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
    "typing_extensions-4.16.0-py3-none-any.whl",
    "six-1.17.0-py2.py3-none-any.whl",
    "safetensors-0.8.0-cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "numpy-2.4.6-cp312-cp312-win_amd64.whl",
    "scipy-1.17.1-1-cp311-cp311-win_amd64.whl",
    "notes.txt", "odd.whl",
)  # fmt: skip
LISTED = """# of the environment
torch==2.13.0
typing-extensions==4.16.0  # written otherwise than the file
six==1.17.0
safetensors==0.8.0
numpy==2.4.6; python_version >= "3.11"
numpy==2.2.6; python_version < "3.11"
scipy==1.17.1

rich==15.0.0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("python", "platform", "missing"),
    [
        ((3, 11), "linux", ["numpy==2.4.6", "scipy==1.17.1", "rich==15.0.0"]),
        ((3, 12), "linux", ["torch==2.13.0", "numpy==2.4.6", "scipy==1.17.1", "rich==15.0.0"]),
        ((3, 11), "win32", ["torch==2.13.0", "safetensors==0.8.0", "numpy==2.4.6", "rich==15.0.0"]),
        ((3, 12), "win32", ["torch==2.13.0", "safetensors==0.8.0", "scipy==1.17.1", "rich==15.0.0"]),
        ((3, 10), "linux", ["torch==2.13.0", "numpy==2.2.6", "scipy==1.17.1", "rich==15.0.0"]),
    ],
)
def test_what_no_wheel_fits(folder: Path, python: tuple[int, int], platform: str, missing: list[str]) -> None:
    assert missing_wheels(folder, LISTED, python, platform) == missing


def test_the_list_of_the_module_asks_for_nothing_but_the_version_of_python() -> None:
    listed = (RESOURCES / "requirements.txt").read_text(encoding="utf-8").splitlines()
    markers = {line.partition(";")[2].strip() for line in listed if ";" in line.split("#")[0]}
    assert markers == {'python_version >= "3.11"', 'python_version < "3.11"'}


def test_the_python_it_was_filled_for(folder: Path) -> None:
    assert python_versions(folder) == ["3.11", "3.12"]


def test_a_folder_that_is_empty_lacks_all(tmp_path: Path) -> None:
    assert len(missing_wheels(tmp_path, LISTED, (3, 12))) == 7
    assert python_versions(tmp_path) == []


def test_a_message_names_the_first_and_counts_the_rest() -> None:
    words = missing_wheels_text(Path("wheels"), [f"package{number}==1" for number in range(15)], (3, 12))
    assert "wheels lacks what Python 3.12 on this system needs: package0==1, " in words
    assert "package11==1 and 3 more, which the log names. Fill it on" in words


@pytest.mark.parametrize("line", ["version = 3.11.7", "version_info = 3.11.7"])
def test_the_version_that_venv_and_uv_note(tmp_path: Path, line: str) -> None:
    (tmp_path / "pyvenv.cfg").write_text(f"home = /usr/bin\n{line}\n", encoding="utf-8")
    assert venv_version(tmp_path) == (3, 11)
