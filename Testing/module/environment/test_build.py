from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_environment as fake
import pytest
from installer_texts import TEXTS
from MedSegTrainerUI.environment import build as build_environment
from MedSegTrainerUI.environment.build import main
from MedSegTrainerUI.environment.build_messages import KINDS
from MedSegTrainerUI.environment.build_packages import _find_uv
from MedSegTrainerUI.environment.build_tools import STARTUP_VARIABLE, system_pythons, tool_environment
from MedSegTrainerUI.environment.builder import size_of
from MedSegTrainerUI.environment.test_record import identity, read_json, requirements_hash, venv_python

from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import JobFolder

ROOT = Path(__file__).resolve().parents[3]
RESOURCES = Path(build_environment.__file__).resolve().parents[2] / "Resources"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "Jäger & Söhne" / "environment"


@pytest.fixture
def build(tmp_path: Path, root: Path) -> Any:
    """Runs a build without a network; ``changes``: of what the self-test reports."""
    requirements = fake.make_requirements(tmp_path / "a wheel")

    def run(*options: str, **changes: Any) -> int:
        library = fake.make_library(tmp_path / "lib", **changes)
        words = ["build", "--folder", root, "--library", library, "--requirements", requirements, "--needed", 1000]
        return main([str(word) for word in (*words, "--no-uv", *options)])

    run.requirements = requirements  # type: ignore[attr-defined]
    return run


def leave_built(root: Path, requirements: Path) -> None:
    """What a build leaves whose packages are all in; the interpreter is that of this test."""
    venv_python(root / "venv").parent.mkdir(parents=True)
    try:
        venv_python(root / "venv").symlink_to(base_python())
    except OSError:
        pytest.skip("this user may not make links")
    (root / "built.json").write_text(json.dumps({"requirements": requirements_hash(requirements)}))


def base_python() -> str:
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def kinds(root: Path) -> list[str]:
    """Of the events, without those that a fast computer has no time for."""
    told = (event["kind"] for event in EventReader(root / "events.jsonl").read())
    return [kind for kind in told if kind != "progress"]


class TestBuild:
    def test_an_interrupted_one_in_a_folder_of_other_languages_is_made_anew(self, build: Any, root: Path) -> None:
        (root / "venv" / "half").mkdir(parents=True)  # no built.json beside it
        assert build() == 0, read_text(root / "log.txt")
        assert not (root / "venv" / "half").exists()
        python = venv_python(root / "venv")
        told = subprocess.run([str(python), "-c", "import tinypackage; print(tinypackage.WORD)"], capture_output=True)
        assert told.stdout.strip() == b"here"
        status = JobFolder(root).status()
        assert (status.state, status.progress) == ("finished", 1.0)
        assert kinds(root) == ["started", *["stage"] * 4, "finished"]
        record = read_json(root / "tested.json")
        assert record["report"]["torch"] == "2.13.0+cu130"
        assert record["times"] == identity(python)["times"]
        assert not any((root / name).exists() for name in ("cache", "tmp", "uv", "lock", "self-test.json"))

    def test_a_complete_one_is_only_tested_again(self, build: Any, root: Path) -> None:
        leave_built(root, build.requirements)
        assert build() == 0, read_text(root / "log.txt")
        assert kinds(root) == ["started", "stage", "finished"]
        assert "pip" not in read_text(root / "log.txt")

    def test_repair_makes_it_anew(self, build: Any, root: Path) -> None:
        leave_built(root, build.requirements)
        (root / "venv" / "stray").touch()
        assert build("--anew") == 0, read_text(root / "log.txt")
        assert not (root / "venv" / "stray").exists()

    def test_the_self_test_fails_and_the_packages_stay(self, build: Any, root: Path) -> None:
        leave_built(root, build.requirements)
        assert build(ok=False, message="The NVIDIA driver is too old.") == 1
        status = JobFolder(root).status()
        assert (status.state, status.message) == ("failed", "The NVIDIA driver is too old.")
        assert (root / "built.json").exists()
        assert not (root / "tested.json").exists()

    def test_a_fall_to_the_cpu_is_told(self, build: Any, root: Path) -> None:
        leave_built(root, build.requirements)
        assert build(warnings=["No GPU was found."]) == 0
        warned = [event["message"] for event in EventReader(root / "events.jsonl").read() if event["kind"] == "warned"]
        assert warned == ["No GPU was found."]

    def test_a_package_that_does_not_exist(self, build: Any, root: Path, tmp_path: Path) -> None:
        missing = tmp_path / "a wheel" / "tinypackage-1.0-py3-none-any.whl"
        missing.unlink()
        assert build() == 1
        status = JobFolder(root).status()
        assert status.state == "failed"
        assert status.message.startswith("pip failed (exit code 1): ")
        assert not (root / "built.json").exists()

    def test_a_package_that_is_not_the_one_that_was_meant(self, build: Any, root: Path) -> None:
        wheel = next(build.requirements.parent.glob("*.whl"))
        hashes = build.requirements.with_name("hashes.txt")
        right = hashlib.sha256(wheel.read_bytes()).hexdigest()
        hashes.write_text(f"tinypackage @ {wheel.as_uri()} --hash=sha256:{right}\n")
        assert build() == 0, read_text(root / "log.txt")
        hashes.write_text(f"tinypackage @ {wheel.as_uri()} --hash=sha256:{right[::-1]}\n")
        assert build("--anew") == 1
        assert "not the file that was meant" in JobFolder(root).status().message
        assert not (root / "built.json").exists()

    def test_too_little_space_is_told_before_anything_is_loaded(self, build: Any, root: Path) -> None:
        assert build("--needed", str(10**18)) == 1
        message = JobFolder(root).status().message
        assert "1000000000.0 GB are needed" in message
        assert "are free" in message
        assert not (root / "venv").exists()

    def test_stop(self, build: Any, root: Path) -> None:
        JobFolder(root).path.mkdir(parents=True)
        waiting = threading.Event()

        def stop() -> None:
            while "venv" not in read_text(root / "log.txt"):
                waiting.wait(0.01)
            JobFolder(root).request_stop("now")

        thread = threading.Thread(target=stop)
        thread.start()
        assert build() == 0
        thread.join()
        assert JobFolder(root).status().state == "stopped"
        assert kinds(root)[-1] == "stopped"
        assert not (root / "built.json").exists()

    @pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
    def test_a_folder_that_may_not_be_written(self, build: Any, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
        root.mkdir(parents=True)
        root.chmod(0o500)
        assert build() == 1
        assert "cannot be locked" in capfd.readouterr().err

    def test_a_file_is_in_the_way(self, build: Any, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
        root.parent.mkdir(parents=True)
        root.touch()
        assert build() == 1
        assert "a file is where a folder should be" in capfd.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="a script cannot play uv.exe")
class TestUv:
    @pytest.fixture
    def uv(self, tmp_path: Path) -> Any:
        """A program ``uv`` on the PATH that notes what it is asked for; ``fails``: words of calls that fail."""
        folder = tmp_path / "bin"
        folder.mkdir()
        before = os.environ["PATH"]

        def make(*fails: str) -> Path:
            script = (
                f"#!{sys.executable}\nimport pathlib, subprocess, sys\nwords = sys.argv[1:]\n"
                f"with open({str(tmp_path / 'asked')!r}, 'a') as asked: asked.write(' '.join(words) + '\\n')\n"
                "if words == ['--version']: print('uv 0.13.9'); sys.exit(0)\n"
                f"if any(word in words for word in {fails!r}): print('dns error', file=sys.stderr); sys.exit(2)\n"
                "make = [sys.executable, '-m', 'venv', '--without-pip', words[-1]]\n"
                "if words[0] == 'venv': subprocess.check_call(make)\n"
            )
            (folder / "uv").write_text(script)
            (folder / "uv").chmod(0o755)
            os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
            return tmp_path / "asked"

        yield make
        os.environ["PATH"] = before

    @pytest.fixture
    def build_with_uv(self, build: Any, tmp_path: Path, root: Path) -> Any:
        requirements = fake.make_requirements(tmp_path / "a wheel")

        def run() -> int:
            words = ["build", "--folder", root, "--library", fake.make_library(tmp_path / "lib"), "--needed", 1000]
            return main([str(word) for word in (*words, "--requirements", requirements)])

        return run

    def test_picks_the_build_for_the_gpu(self, uv: Any, build_with_uv: Any, root: Path) -> None:
        asked = uv()
        assert build_with_uv() == 0, read_text(root / "log.txt")
        lines = asked.read_text().splitlines()
        assert lines[1].startswith("venv --no-config --python 3.12 ")
        assert lines[2].endswith("--torch-backend=auto")
        assert read_json(root / "built.json")["tool"] == "uv"

    def test_checks_the_hashes_that_are_known(self, uv: Any, build_with_uv: Any, tmp_path: Path) -> None:
        asked = uv()
        (tmp_path / "a wheel").mkdir(parents=True, exist_ok=True)
        (tmp_path / "a wheel" / "hashes.txt").touch()
        assert build_with_uv() == 0
        assert f"-r {tmp_path / 'a wheel' / 'hashes.txt'} --torch-backend=auto" in asked.read_text()

    def test_python_3_12_cannot_be_loaded(self, uv: Any, build_with_uv: Any) -> None:
        asked = uv("3.12")
        assert build_with_uv() == 0
        assert asked.read_text().splitlines()[2].startswith("venv --no-config --python >=3.10,<3.15 ")

    def test_the_gpu_build_cannot_be_loaded(self, uv: Any, build_with_uv: Any, root: Path) -> None:
        uv("--torch-backend=auto")
        assert build_with_uv() == 0
        assert "warned" in kinds(root)
        assert read_json(root / "built.json")["tool"] == "uv"

    def test_pip_tries_what_uv_could_not(self, uv: Any, build_with_uv: Any, root: Path) -> None:
        uv("pip")
        assert build_with_uv() == 0, read_text(root / "log.txt")
        assert read_json(root / "built.json")["tool"] == "pip"
        assert kinds(root).count("warned") == 2


class TestTest:
    def run(self, root: Path, library: Path, python: Path | str) -> str:
        main(["test", "--folder", str(root), "--library", str(library), "--python", str(python)])
        return JobFolder(root).status().message

    def test_a_python_of_the_user(self, root: Path, tmp_path: Path) -> None:
        library = fake.make_library(tmp_path / "lib")
        assert self.run(root, library, sys.executable).startswith("PyTorch 2.13.0 trains")
        assert read_json(root / "tested-other.json")["python"] == sys.executable

    def test_one_without_the_packages(self, root: Path, tmp_path: Path) -> None:
        library = fake.make_library(tmp_path / "lib", crash=True)
        assert "lacks the package typer" in self.run(root, library, sys.executable)
        assert not (root / "tested-other.json").exists()

    @pytest.mark.parametrize("said", TEXTS["driver"])
    def test_one_for_a_newer_driver(self, said: str) -> None:
        assert build_environment.test_message(Path("python"), 1, said) == KINDS["driver"][1]

    def test_one_that_is_no_program(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "python.txt").write_text("no program")
        message = self.run(root, fake.make_library(tmp_path / "lib"), tmp_path / "python.txt")
        assert "cannot be started" in message


class TestVariables:
    def test_are_those_before_the_launcher(self, tmp_path: Path) -> None:
        os.environ[STARTUP_VARIABLE] = json.dumps({"MEDSEG_KEPT": "before", "MEDSEG_ADDED": None})
        os.environ.update(MEDSEG_KEPT="changed", MEDSEG_ADDED="by the launcher", PYTHONPATH="elsewhere")
        try:
            made = tool_environment(tmp_path)
        finally:
            for name in (STARTUP_VARIABLE, "MEDSEG_KEPT", "MEDSEG_ADDED", "PYTHONPATH"):
                del os.environ[name]
        assert made["MEDSEG_KEPT"] == "before"
        assert not {"MEDSEG_ADDED", "PYTHONPATH", STARTUP_VARIABLE} & made.keys()
        assert made["TMPDIR"] == str(tmp_path / "tmp")

    def test_a_python_that_is_too_old_is_not_taken(self, tmp_path: Path) -> None:
        if os.name == "nt":
            pytest.skip("a script cannot play python.exe")
        (tmp_path / "python3").write_text("#!/bin/sh\necho 3 6\n")
        (tmp_path / "python3").chmod(0o755)
        assert str(tmp_path / "python3") not in system_pythons({"PATH": str(tmp_path)})


class TestRequirements:
    def test_have_the_versions_of_the_constraints(self) -> None:
        constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").split("# Extra")[0]
        assert packages((RESOURCES / "requirements.txt").read_text(encoding="utf-8")) == packages(constraints)

    def test_hold_what_the_project_needs(self) -> None:
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        block = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
        assert block is not None
        listed = (RESOURCES / "requirements.txt").read_text(encoding="utf-8")
        for name in re.findall(r'^\s*"([A-Za-z0-9]+)', block[1], re.MULTILINE):
            assert re.search(rf"^{name}==", listed, re.MULTILINE | re.IGNORECASE), name

    def test_have_the_hashes_of_all_but_pytorch(self) -> None:
        """Each build of PyTorch has its own, in an index of its own."""
        listed = (RESOURCES / "hashes.txt").read_text(encoding="utf-8").replace("\\\n", " ")
        hashed = {line.split(";")[0].split(" ")[0].lower().replace("_", "-"): line for line in packages(listed)}
        wanted = packages((RESOURCES / "requirements.txt").read_text(encoding="utf-8"))
        names = {line.split(";")[0].strip().lower().replace("_", "-") for line in wanted}
        assert names - hashed.keys() == {"torch==2.13.0"} and not hashed.keys() - names
        assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashed.values())

    def test_the_installer_is_one_version(self) -> None:
        (line,) = packages((RESOURCES / "uv.txt").read_text(encoding="utf-8").replace("\\\n", " "))
        assert re.match(r"uv==\d+\.\d+\.\d+ +--hash=sha256:[0-9a-f]{64}", line)

    def test_the_installer_is_loaded_in_that_version_or_not_at_all(self, tmp_path: Path) -> None:
        asked: list[str] = []

        class NoNetwork:
            root, environment, options = tmp_path, {"PATH": ""}, SimpleNamespace(wheels=None)

            def stage(self, *told: Any) -> None: ...

            def events(self, event: Any) -> None: ...

            def attempt(self, what: str, command: list[str]) -> bool:
                asked.extend(command)
                return False

        assert _find_uv(NoNetwork()) is None
        assert "--require-hashes" in asked and asked[-1] == str(RESOURCES / "uv.txt")

    def test_a_comment_changes_nothing(self, tmp_path: Path) -> None:
        one, two, other = (tmp_path / name for name in ("one", "two", "other"))
        one.write_text("a==1\n")
        two.write_text("# why\na==1  # because\n\n")
        other.write_text("a==2\n")
        assert requirements_hash(one) == requirements_hash(two) != requirements_hash(other)


def packages(text: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_files_with_two_names_are_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "d").write_bytes(b"x" * 10)
    assert size_of(tmp_path) == 1010


def test_a_removed_environment_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "environment-removed-1" / "venv").mkdir(parents=True)
    assert main(["remove", "--folder", str(tmp_path / "environment-removed-1")]) == 0
    assert not (tmp_path / "environment-removed-1").exists()
