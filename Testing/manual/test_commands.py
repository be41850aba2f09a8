"""Commands in the manual: the real parsers take each of them, its settings are right, and what is cheap is run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import bench
import demo
import pydicom
import pytest
import SimpleITK as sitk
import typer
from markdown_pages import PAGES, ROOT, every_block
from small_case import write_ball

from MedSegTrainerLib.cli.main import app, main
from MedSegTrainerLib.config import NetworkConfig, TrainConfig
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.kinds import parse_job

GROUP: Any = typer.main.get_command(app)
SCRIPT_PARSERS: dict[str, Callable[[list[str]], Any]] = {
    "scripts/bench.py": bench.read_arguments,
    "scripts/demo.py": demo.read_arguments,
}
TRAINS = ("train", "cross-validate", "find-lr", "plan")  # take the settings of a training
NETWORKS = get_args(get_type_hints(NetworkConfig)["type"])
OF_OTHERS = {"--add", "--disable_tta", "--extra-index-url", "--nnodes"}  # options of pip, torchrun and nnU-Net
OF_OTHERS |= {"--fast", "--ml", "--roi_subset", "--task"}  # of TotalSegmentator
SETTING = re.compile(r"--set ('[^']+'|\"[^\"]+\"|\S+)")


def commands_of(text: str) -> Iterator[list[str]]:
    """The words of each command in a block of bash; a line that ends in a backslash goes on."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def options_of(command: Any) -> set[str]:
    return {option for item in command.params for option in item.opts if item.param_type_name == "option"}


def parse(words: list[str]) -> dict[str, Any]:
    """The arguments of a ``medsegtrainer`` command line by name; ends the program, or raises, where it is wrong."""
    name, *rest = words
    context = GROUP.commands[name].make_context(name, rest)
    return dict(context.params)


def known_program(words: list[str]) -> bool:
    """Checks a command of another program than ours; whether it is one that is known here."""
    if words[0] == "tensorboard":
        assert words[1:] == ["--logdir", JobFolder(Path("JOB")).tensorboard.as_posix()]
    elif words[:2] == ["pip", "install"]:
        assert words[2:] == ["-c", "constraints.txt", "."]
        assert (ROOT / words[3]).is_file() and (ROOT / "pyproject.toml").is_file()
    elif words[:4] == ["python", "-m", "pip", "download"]:
        assert (ROOT / words[words.index("-r") + 1]).is_file()
        [tool] = [word for word in words if word.startswith("uv==")]
        assert tool in (ROOT / "MedSegTrainer" / "Resources" / "uv.txt").read_text(encoding="utf-8").split()
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file()
        SCRIPT_PARSERS.get(words[1], takes_nothing)(words[2:])
    else:
        return False
    return True


def takes_nothing(words: list[str]) -> None:
    assert words == [], "the manual calls this script without arguments"


def medsegtrainer_words(words: list[str]) -> list[str] | None:
    """What follows ``medsegtrainer``, or in torchrun's call ``-m MedSegTrainerLib``."""
    if words[0] == "medsegtrainer":
        return words[1:]
    if "MedSegTrainerLib" in words and words[words.index("MedSegTrainerLib") - 1] == "-m":
        return words[words.index("MedSegTrainerLib") + 1 :]
    return None


def is_right(setting: str, network: str) -> bool:
    """Whether a training with this network takes ``name=value``."""
    try:
        parse_config(TrainConfig, with_settings({}, [f"network.type={network}", setting]))
    except UsageError:
        return False
    return True


BASH = [
    (f"{where}: {' '.join(words)}", words)
    for where, block in every_block("bash")
    if not block.text.startswith("#!")
    for words in commands_of(block.text)
]
SCRIPTS = [(where, block.text) for where, block in every_block("bash") if block.text.startswith("#!")]


@pytest.mark.parametrize("words", [words for _, words in BASH], ids=[where for where, _ in BASH])
def test_a_command_is_taken(words: list[str]) -> None:
    ours = medsegtrainer_words(words)
    if ours is None:
        assert known_program(words), f"nothing here checks {words[0]}"
        return
    given = parse(ours)
    if ours[0] in TRAINS:
        network = [f"network.type={given['model']}"] if given["model"] else []
        parse_config(TrainConfig, with_settings({}, [*network, *(given["settings"] or [])]))


@pytest.mark.parametrize(("where", "text"), SCRIPTS, ids=[where for where, _ in SCRIPTS])
def test_a_script_is_bash_and_its_command_is_taken(where: str, text: str) -> None:
    ours = [found for words in commands_of(text.replace('"$', '"').replace("$(", "(")) if "torchrun" in words
            for found in [medsegtrainer_words(words)]]  # fmt: skip
    assert len(ours) == 1 and ours[0] is not None and parse(ours[0])["job"] == Path("/shared/JOB")
    bash = shutil.which("bash")
    if bash is not None:
        assert subprocess.run([bash, "-n"], input=text.encode(), check=False).returncode == 0


def test_all_kinds_of_commands_were_found() -> None:
    names = {ours[0] for _, words in BASH for ours in [medsegtrainer_words(words)] if ours}
    assert names >= {*GROUP.commands} - {"self-test"}
    assert len(BASH) > 50 and len(SCRIPTS) == 1


class TestInline:
    def test_commands_are_taken(self) -> None:
        """Of a command that is named without its arguments, the name and the options are looked at."""
        found = [code.split(" ", 1)[1] for page in PAGES for code in page.inline_code
                 if code.startswith("medsegtrainer ") and "..." not in code and "[" not in code]  # fmt: skip
        assert len(found) > 10
        for code in found:
            name, *rest = shlex.split(code)
            options = {word for word in rest if word.startswith("-")}
            assert options <= options_of(GROUP.commands[name]), code

    def test_options_exist(self) -> None:
        known = {option for command in GROUP.commands.values() for option in options_of(command)} | OF_OTHERS
        known |= {"--help", "--version", "--data"}
        found = {
            word for page in PAGES for code in page.inline_code for word in code.split() if re.match(r"--\w", word)
        }
        assert len(found) > 25
        assert found <= known, found - known

    def test_settings_are_right(self) -> None:
        """Behind ``--set``, and alone as ``name=value``."""
        codes = [code for page in PAGES for code in page.inline_code]
        given = [shlex.split(text)[0] for code in codes for text in SETTING.findall(code)]
        given += [word for code in codes if re.match(r"[\w.]+=\S", code) for word in code.split()]
        given = [word for word in given if not word.endswith("=VALUE")]
        assert len(given) > 25
        for word in given:
            assert any(is_right(word, network) for network in NETWORKS), word

    def test_settings_in_tables_exist(self) -> None:
        """The table of settings in Training names settings alone, and words that one of them takes."""
        page = next(page for page in PAGES if page.path.name == "TRAINING.md")
        table = page.prose.partition("| what | settings |")[2].partition("\n\n")[0]
        names = re.findall(r"`([\w.]+)`", table)
        assert len(names) > 40
        sections = {"val_loss", "data", "network", "loss", "optimizer", "trainer"}
        known = {key for part in vars(TrainConfig()).values() for key in vars(part)}
        assert {name.rpartition(".")[2] for name in names} <= known | sections


class TestTheCheckItself:
    @pytest.mark.parametrize(
        "line",
        [
            "train DATA -o JOB --budgets 20m", "train DATA OTHER -o JOB", "apply JOB IMAGES", "compare A -o OUT",
            "train DATA --epochs many",
        ],
    )  # fmt: skip
    def test_notices_a_wrong_command(self, line: str) -> None:
        with pytest.raises(Exception, match=r"(?i)no such option|unexpected extra|missing|a valid integer"):
            parse(line.split())

    def test_notices_an_unknown_program(self) -> None:
        assert not known_program(["nnunet", "train"])

    def test_joins_lines_and_leaves_out_comments(self) -> None:
        assert [*commands_of("a b \\\n  c # d\n\n# e\nf\n")] == [["a", "b", "c"], ["f"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("commands")
    for number in range(3):
        write_ball(root / "DATA" / "images", root / "DATA" / "labels", number)
    write_ball(root / "NEW_IMAGES", root / "REFERENCES", 3)
    return root


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


class TestRun:
    def test_the_three_commands_of_the_first_page(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With seconds for minutes; then what costs little: status, card, compare and export."""
        monkeypatch.chdir(folder)
        first = [words[1:] for where, words in BASH if where.startswith("README.md") and words[0] == "medsegtrainer"]
        assert [words[0] for words in first] == ["train", "apply", "evaluate"]
        for words in first:
            assert run(["4s" if word == "20m" else word for word in words]) == 0, words
        assert (folder / "OUT" / "case_3.seg.nrrd").is_file() and (folder / "REPORT" / "report.html").is_file()
        shutil.copytree(folder / "REPORT", folder / "COPY")
        for line in (
            "status JOB", "card JOB", "compare REPORT COPY -o COMPARE --metric dice",
            "export JOB -o model.pt --format torchscript",
        ):  # fmt: skip
            assert run(line.split()) == 0, line
        assert "finished" in capsys.readouterr().out
        assert run(["stop", "JOB"]) == 1
        assert "Nothing to stop" in capsys.readouterr().err

    def test_labels_become_dicom(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_series: Callable[..., Path]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write_ball(tmp_path, tmp_path / "labels", 0)
        write_series(sitk.Cast(sitk.ReadImage("case_0.nii.gz"), sitk.sitkInt16), tmp_path / "SERIES")
        labels = sitk.ReadImage("labels/case_0.nii.gz")
        for name in ("my.seg.nrrd", "corrected.seg.nrrd"):
            sitk.WriteImage(labels, name)
        lines = [words[1:] for _, words in BASH if words[:2] == ["medsegtrainer", "to-dicom"]]
        assert len(lines) == 2
        for words in lines:
            assert run(words) == 0, words
        types = [str(pydicom.dcmread(f"{name}.seg.dcm").SegmentSequence[0].SegmentAlgorithmType)
                 for name in ("my", "corrected")]  # fmt: skip
        assert types == ["MANUAL", "SEMIAUTOMATIC"]

    def test_what_only_writes_or_checks(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(folder)
        shutil.copytree(ROOT / "Resources" / "workflows", folder / "Resources" / "workflows")
        lines = [words[1:] for _, words in BASH if "--create" in words or "--validate" in words]
        assert {words[0] for words in lines} == {"train", "workflow"}
        for words in lines:
            assert run(["CREATED" if word == "JOB" else word for word in words]) == 0, words
        assert parse_job(JobFolder(folder / "CREATED").read_document()) is not None
        assert "medsegtrainer run" in capsys.readouterr().out
