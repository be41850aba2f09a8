"""Blocks of Python in the manual: they compile, what they import is there, calls and settings are right."""

from __future__ import annotations

import ast
import importlib
import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_pages import CONTRIBUTING, Block, every_block
from small_case import write_ball

from MedSegTrainerLib import api
from MedSegTrainerLib.config import ApplyConfig, EvaluateConfig, SuggestConfig, TrainConfig
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.errors import ConfigError

BLOCKS = [(where, block) for where, block in every_block("python") if not where.startswith(CONTRIBUTING.name)]
SECONDS = "4s"  # in place of the minutes that a page says
each_block = pytest.mark.parametrize(("where", "block"), BLOCKS, ids=[where for where, _ in BLOCKS])
TRAININGS = ("train", "cross_validate")
OTHERS = {"apply": ApplyConfig, "evaluate": EvaluateConfig, "suggest": SuggestConfig}


def imported(tree: ast.AST) -> dict[str, Any]:
    """What a block imports from the library, by name; raises ImportError or AttributeError where it is not there."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            found |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
    return found


def check_calls(tree: ast.AST, names: dict[str, Any]) -> int:
    """Binds the arguments of every call of what was imported, and reads its settings; how many there are."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    checked = [call for call in calls if call.func.id in names]  # type: ignore[attr-defined]
    for call in checked:
        name = call.func.id  # type: ignore[attr-defined]
        given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        inspect.signature(names[name]).bind(*call.args, **given)
        own = inspect.signature(names[name]).parameters
        settings = {key: ast.literal_eval(value) for key, value in given.items() if key not in own}
        if name in TRAININGS and names[name].__module__ == api.__name__:
            parse_config(TrainConfig, with_settings({}, settings.items()))
        elif name in OTHERS and names[name].__module__ == api.__name__:
            parse_config(OTHERS[name], settings)
    return len(checked)


@each_block
def test_imports_calls_and_settings_are_right(where: str, block: Block) -> None:
    tree = ast.parse(block.text)
    compile(block.text, where, "exec")
    check_calls(tree, imported(tree))


class TestTheCheckItself:
    def test_there_are_blocks_and_calls(self) -> None:
        trees = [ast.parse(block.text) for _, block in BLOCKS]
        assert sum(check_calls(tree, imported(tree)) for tree in trees) >= 12

    @pytest.mark.parametrize(
        ("call", "error"),
        [
            ("train('data')", TypeError),
            ("train('data', 'job', budgets='20m')", ConfigError),
            ("apply('job', ['a.nii'], 'out', ttta=True)", ConfigError),
            ("resume('job', longer=True)", TypeError),
        ],
    )
    def test_notices_a_wrong_call(self, call: str, error: type[Exception]) -> None:
        name = call.partition("(")[0]
        with pytest.raises(error):
            check_calls(ast.parse(call), {name: getattr(api, name)})

    def test_notices_a_wrong_import(self) -> None:
        with pytest.raises(AttributeError):
            imported(ast.parse("from MedSegTrainerLib.api import trane"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: ``data``, ``new_images`` and ``references``."""
    root = tmp_path_factory.mktemp("manual")
    for number in range(3):
        write_ball(root / "data" / "images", root / "data" / "labels", number)
    write_ball(root / "new_images", root / "references", 3)
    return root


@pytest.fixture
def play(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Runs the one block that holds a text, for seconds instead of minutes; gives its variables."""

    def run(text: str) -> dict[str, Any]:
        [(where, block)] = [item for item in BLOCKS if text in item[1].text]
        monkeypatch.chdir(folder)
        shutil.rmtree(folder / "job", ignore_errors=True)
        variables: dict[str, Any] = {"__name__": "manual"}
        exec(compile(block.text.replace('"20m"', f'"{SECONDS}"'), where, "exec"), variables)
        return variables

    return run


class TestRun:
    def test_the_first_page(self, play: Callable[[str], dict[str, Any]], folder: Path) -> None:
        found = play('["new_images"]')
        assert [path.name for path in found["files"]] and all(path.is_file() for path in found["files"])
        assert 0 <= found["metrics"]["overall"]["mean_dice"] <= 1
        assert (folder / "report" / "report.html").is_file() and (folder / "job" / "model" / "model.json").is_file()

    def test_a_process_of_its_own(
        self, play: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = play("EventReader(folder.events_file)")
        assert capsys.readouterr().out.splitlines()[-1] == f"finished {Path('job') / 'model'}"
        assert found["process"].returncode == 0

    def test_an_error_is_a_sentence(
        self, play: Callable[[str], dict[str, Any]], folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.move(folder / "data", folder / "elsewhere")
        try:
            play("except MedSegError")
        finally:
            shutil.move(folder / "elsewhere", folder / "data")
        assert "does not exist" in capsys.readouterr().out

    def test_arrays_are_a_case(self, play: Callable[[str], dict[str, Any]], folder: Path) -> None:
        play("np.savez")
        from MedSegTrainerLib.imaging.numpy_files import holds_case

        assert holds_case(folder / "case_1.npz")
