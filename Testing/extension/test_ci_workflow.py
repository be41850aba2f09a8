"""The workflow that runs elsewhere: its syntax, and that all it starts is in this repository."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import package
import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is in the extra 'test'")

ROOT = package.ROOT
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PROGRAMS = {"bash", "curl", "export", "mkdir", "python", "sudo", "tar", "uv", "xvfb-run"}
MADE_MEANWHILE = {"slicer", "slicer/Slicer", "slicer/bin/PythonSlicer", "slicer-pytest"}
JOB_KEYS = {"runs-on", "timeout-minutes", "strategy", "env", "steps"}
STEP_KEYS = {"name", "uses", "with", "run", "shell", "env"}


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def commands(step: dict[str, Any]) -> list[list[str]]:
    """The words of each command of a step; those that a pipe joins are two."""
    lines = re.sub(r"\\\n|(?<=\|)\n", " ", step.get("run", "")).splitlines()
    parsed = []
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "|"]:
            if word != "|":
                words.append(word)
            elif words:
                parsed.append(words)
                words = []
    return parsed


def test_jobs_and_steps_have_the_keys_that_github_knows(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert True in workflow  # YAML 1.1 reads the key 'on' as true
    for job in workflow["jobs"].values():
        assert set(job) <= JOB_KEYS and {"runs-on", "timeout-minutes", "steps"} <= set(job)
    for step in steps(workflow):
        assert set(step) <= STEP_KEYS and ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"actions/(checkout|setup-python)@v\d+", step.get("uses", "actions/checkout@v0"))


def test_the_checks_run_on_all_three_systems_and_on_the_oldest_python(workflow: dict[Any, Any]) -> None:
    job = workflow["jobs"]["checks"]
    matrix = job["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "windows", "macos"}
    assert [entry["python"] for entry in matrix["include"]] == ["3.10"]
    assert all(isinstance(version, str) for version in matrix["python"])  # 3.10 as a number is 3.1
    assert [(step["run"], step["shell"]) for step in job["steps"] if "run" in step] == [("bash .ci/run", "bash")]


def test_expressions_name_what_is_defined(workflow: dict[Any, Any]) -> None:
    matrix = workflow["jobs"]["checks"]["strategy"]["matrix"]
    known = {f"matrix.{key}" for key in matrix} | {"github.workspace"}
    used = re.findall(r"\$\{\{ *(\S+) *\}\}", WORKFLOW.read_text(encoding="utf-8"))
    assert used and set(used) <= known


def test_whatever_is_started_is_a_known_program_or_lies_in_the_repository(workflow: dict[Any, Any]) -> None:
    started = [command for step in steps(workflow) for command in commands(step)]
    assert {command[0] for command in started} <= PROGRAMS | MADE_MEANWHILE
    words = {word for command in started for word in command}
    assert "slicer/Slicer" in words and "--python-script" in words
    paths = {word for word in words if re.fullmatch(r"[\w.-]+/[\w./-]+|Med\w+|[\w-]+\.txt", word)} - MADE_MEANWHILE
    assert {".ci/run", "Testing/run_in_slicer.py", "Testing/library", "MedSegTrainer", "constraints.txt"} <= paths
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_extras_that_are_installed_exist(workflow: dict[Any, Any]) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    words = {word for step in steps(workflow) for command in commands(step) for word in command}
    extras = {extra for word in words if word.startswith(".[") for extra in word[2:-1].split(",")}
    assert extras
    for extra in extras:
        assert re.search(rf"^{extra} = \[", text, re.MULTILINE), extra


def test_the_environment_variables_of_the_slicer_job_are_those_that_the_tests_read(workflow: dict[Any, Any]) -> None:
    job = workflow["jobs"]["slicer"]
    exported = {word.split("=")[0] for step in job["steps"] for words in commands(step) for word in words[1:2]
                if words[0] == "export"}  # fmt: skip
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "Testing").rglob("*.py"))
    for name in {*job["env"], *exported}:
        assert f'"{name}"' in sources, name


def test_bash_can_read_every_script(workflow: dict[Any, Any], tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None or os.name == "nt":  # where it may be that of another system
        pytest.skip("needs bash")
    scripts = [(ROOT / ".ci" / "run").read_text(encoding="utf-8")]
    scripts += [step["run"] for step in steps(workflow) if "run" in step]
    for script in scripts:
        path = tmp_path / "script.sh"
        path.write_text(script, encoding="utf-8")
        done = subprocess.run([bash, "-n", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_lines_end_alike_on_every_system() -> None:
    """Bash refuses a script with carriage returns, as git writes them on Windows unless told otherwise."""
    assert "* text=auto eol=lf" in (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
    assert b"\r" not in (ROOT / ".ci" / "run").read_bytes()
