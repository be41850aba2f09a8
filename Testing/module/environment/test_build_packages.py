from __future__ import annotations

import hashlib
import http.server
import os
import socket
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fake_environment as fake
import pytest
from installer_texts import TEXTS
from MedSegTrainerUI.environment.build import main
from MedSegTrainerUI.environment.build_messages import KINDS
from MedSegTrainerUI.environment.build_packages import _plain_venv
from MedSegTrainerUI.environment.builder import Builder, BuildError
from MedSegTrainerUI.environment.test_record import read_json

from MedSegTrainerLib.events import EventLog
from MedSegTrainerLib.job import JobFolder, JobOwner

OTHER_PYTHON = "cp36-cp36m-win_amd64"


@contextmanager
def variables(**changes: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def no_index() -> Iterator[str]:
    """The address of a server that is not there; pip is told of no other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
    unset = {"PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "1"}
    with variables(PIP_INDEX_URL=address, NO_PROXY="", no_proxy="", **unset):
        yield address


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder of two wheels."""
    for name in ("tinypackage", "torchlike"):
        fake.make_wheel(tmp_path / "Räder", name)
    return tmp_path / "Räder"


@pytest.fixture
def build(tmp_path: Path, wheels: Path, no_index: str) -> Any:
    """Builds from the folder of wheels with no index in reach; the status."""
    requirements = tmp_path / "list" / "requirements.txt"
    requirements.parent.mkdir()

    def run(listed: str, *options: str) -> Any:
        requirements.write_text(listed, encoding="utf-8")
        words = ["build", "--folder", tmp_path / "environment", "--library", fake.make_library(tmp_path / "lib"),
                 "--requirements", requirements, "--needed", 1000, "--wheels", wheels]  # fmt: skip
        main([str(word) for word in (*words, *options)])
        return JobFolder(tmp_path / "environment").status()

    run.requirements = requirements  # type: ignore[attr-defined]
    return run


def write_hash(build: Any, wheel: Path, *, right: bool = True) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    text = f"{wheel.name.split('-')[0]}==1.0 --hash=sha256:{digest if right else digest[::-1]}\n"
    build.requirements.with_name("hashes.txt").write_text(text)


class TestFolderOfWheels:
    def test_is_all_that_is_needed(self, build: Any, wheels: Path, tmp_path: Path) -> None:
        write_hash(build, next(wheels.glob("tinypackage*")))  # and none of the other, as of PyTorch
        status = build("tinypackage==1.0\ntorchlike==1.0\n", "--no-uv")
        log = (tmp_path / "environment" / "log.txt").read_text(encoding="utf-8")
        assert status.state == "finished", log
        assert read_json(tmp_path / "environment" / "built.json")["tool"] == "pip"
        assert "Successfully installed torchlike-1.0" in log and "Retrying" not in log

    def test_with_a_package_that_is_not_the_one_that_was_meant(self, build: Any, wheels: Path) -> None:
        write_hash(build, next(wheels.glob("tinypackage*")), right=False)
        assert build("tinypackage==1.0\n", "--no-uv").message == KINDS["hash"][1]

    def test_that_lacks_packages_names_them_all(self, build: Any, wheels: Path, capfd: Any) -> None:
        fake.make_wheel(wheels, "foreign", OTHER_PYTHON)
        message = build("tinypackage==1.0\nforeign==1.0\ntorchlike==2.0\nabsent==3.0\n", "--no-uv").message
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        assert f"{wheels} lacks what Python {version}" in message
        assert "foreign==1.0, torchlike==2.0, absent==3.0. Fill it on a computer with the same system" in message
        assert "Missing in" in capfd.readouterr().err

    def test_that_lacks_what_a_package_needs(self, build: Any, wheels: Path) -> None:
        message = build("tinypackage==1.0\nabsent>=3\n", "--no-uv").message
        assert message.startswith("The folder of wheels lacks a package")
        assert "No matching distribution found for absent>=3" in message

    def test_may_be_named_from_where_one_stands(self, build: Any, wheels: Path, tmp_path: Path) -> None:
        relative = os.path.relpath(wheels)
        assert build("absent==1.0\n", "--no-uv", "--wheels", relative).message.startswith(
            f"The folder of wheels {Path(relative).absolute()} lacks"
        )

    def test_that_is_not_there(self, build: Any, wheels: Path) -> None:
        wheels.rename(wheels.with_name("elsewhere"))
        assert build("tinypackage==1.0\n").message == (
            f"The folder of wheels {wheels} is not there. Choose another, or empty the field."
        )

    @pytest.mark.skipif(os.name == "nt", reason="a script cannot play uv.exe")
    def test_uv_is_told_to_load_nothing(self, build: Any, wheels: Path, tmp_path: Path) -> None:
        fake.make_wheel(wheels, "another", f"cp3{sys.version_info[1]}-none-any")
        program = tmp_path / "bin" / "uv"
        program.parent.mkdir()
        program.write_text(
            f"#!{sys.executable}\nimport subprocess, sys\nwords = sys.argv[1:]\n"
            f"with open({str(tmp_path / 'asked')!r}, 'a') as asked: asked.write(' '.join(words) + '\\n')\n"
            "if words == ['--version']: print('uv 0.13.9')\n"
            "make = [sys.executable, '-m', 'venv', '--without-pip', words[-1]]\n"
            "if words[0] == 'venv': subprocess.check_call(make)\n"
        )
        program.chmod(0o755)
        with variables(PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}"):
            assert build("tinypackage==1.0\n").state == "finished"
        _version, venv, install = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
        assert venv.startswith(f"venv --no-config --offline --python 3.{sys.version_info[1]} ")
        assert install.endswith(f"--no-index --find-links {wheels} --only-binary :all:")


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[Builder]:
    folder = JobFolder(tmp_path / "environment")
    folder.path.mkdir()
    with JobOwner(folder, "environment") as owner:
        yield Builder(Namespace(folder=folder.path, wheels=None), owner, EventLog(folder.events_file))


@pytest.mark.parametrize("kind", TEXTS)
def test_a_tool_that_prints_a_fault_is_understood(kind: str, builder: Builder, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXTS[kind][0], encoding="utf-8")
    show = "import pathlib, sys; sys.stdout.buffer.write(pathlib.Path(sys.argv[1]).read_bytes()); sys.exit(2)"
    with pytest.raises(BuildError) as raised:
        builder.run("uv", [sys.executable, "-c", show, str(tmp_path / "text")])
    assert str(raised.value).splitlines()[0] == KINDS[kind][1]


class TestNoPython:
    """As on most computers with Slicer: uv must be loaded, or nothing can be made."""

    def make(self, builder: Builder) -> str:
        builder.environment["PATH"] = ""
        with variables(APPLAUNCHER_LEVEL="1"), pytest.raises(BuildError) as raised:
            _plain_venv(builder)
        return str(raised.value)

    def test_tells_why_uv_could_not_be_loaded(self, builder: Builder) -> None:
        builder.failed = TEXTS["proxy login"][1]
        first, second = self.make(builder).splitlines()
        assert first == KINDS["proxy login"][1]
        assert "Install Python 3.12 from python.org" in second

    def test_names_the_one_that_the_wheels_are_for(self, builder: Builder, wheels: Path) -> None:
        fake.make_wheel(wheels, "another", "cp313-cp313-win_amd64")
        builder.options.wheels = wheels
        assert self.make(builder).startswith("No Python was found")
        assert "Install Python 3.13 from python.org" in self.make(builder)


class Refusing(http.server.BaseHTTPRequestHandler):
    """A proxy that wants a password, and an index whose packages are only for another Python."""

    page = f'<a href="/tinypackage-1.0-{OTHER_PYTHON}.whl">tinypackage-1.0-{OTHER_PYTHON}.whl</a>'.encode()

    def do_CONNECT(self) -> None:
        self.send_response(407)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *told: Any) -> None: ...


@pytest.fixture
def refusing() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


class TestRealPip:
    """What pip of this Python says today, where that can be provoked in a moment and without a network."""

    def install(self, folder: Path, **changes: str) -> str:
        with variables(**changes):
            job = JobFolder(folder / "environment")
            job.path.mkdir()
            with JobOwner(job, "environment") as owner:
                builder = Builder(Namespace(folder=job.path, wheels=None), owner, EventLog(job.events_file))
                pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder / "there")]
                with pytest.raises(BuildError) as raised:
                    builder.run("pip", [*pip, "tinypackage==1.0"])
        return str(raised.value)

    def test_no_network(self, tmp_path: Path, no_index: str) -> None:
        assert self.install(tmp_path) == KINDS["network"][1]

    def test_a_proxy_that_wants_a_password(self, tmp_path: Path, no_index: str, refusing: str) -> None:
        proxy = {"HTTPS_PROXY": refusing, "https_proxy": refusing}
        assert self.install(tmp_path, PIP_INDEX_URL="https://pypi.invalid/", **proxy) == KINDS["proxy login"][1]

    def test_no_wheel_for_this_python(self, tmp_path: Path, no_index: str, refusing: str) -> None:
        words = self.install(tmp_path, PIP_INDEX_URL=refusing)
        assert words.startswith(KINDS["no package"][1])  # pip tells no more
        assert words.endswith("No matching distribution found for tinypackage==1.0")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full at once is known to Linux only")
    def test_a_full_disk(self, builder: Builder) -> None:
        full = "open('/dev/full', 'w').write('x' * 100000)"
        with pytest.raises(BuildError) as raised:
            builder.run("Making the environment", [sys.executable, "-c", full])
        assert str(raised.value) == KINDS["disk"][1]
