"""The log of a job: what a line looks like, which records become one, and which files it is written to."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from MedSegTrainerLib.errors import StorageError
from MedSegTrainerLib.job_logging import (
    EVENTS,
    LEVEL_VARIABLE,
    LIBRARY,
    LineFormatter,
    LogReader,
    console_log,
    is_log_line,
    job_log,
    log_level,
    open_log,
)

MODULE = logging.getLogger(f"{LIBRARY}.somewhere")
STAMP = "2026-05-04T13:37:00+02:00"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.txt"


@pytest.fixture
def outside() -> Iterator[list[logging.LogRecord]]:
    """What a program gets that has set up logging for itself and wants warnings."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    keep, root = Keep(), logging.getLogger()
    before = root.level
    root.addHandler(keep)
    root.setLevel(logging.WARNING)
    yield records
    root.removeHandler(keep)
    root.setLevel(before)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


class TestLine:
    def test_has_time_level_and_module(self, log: Path) -> None:
        before = datetime.now().astimezone().replace(microsecond=0)
        with job_log(log):
            MODULE.info("began with %d cases", 3)
        moment, rest = lines(log)[0].split(" ", 1)
        assert rest == "INFO MedSegTrainerLib.somewhere: began with 3 cases"
        written = datetime.fromisoformat(moment)
        assert before <= written <= datetime.now().astimezone() and written.utcoffset() is not None

    def test_an_exception_has_its_traceback(self, log: Path) -> None:
        with job_log(log):
            try:
                raise KeyError("who")
            except KeyError:
                MODULE.exception("Should not happen:")
        first, *rest = lines(log)
        assert " ERROR " in first and rest[0] == "    Traceback (most recent call last):"
        assert rest[-1] == "    KeyError: 'who'" and __file__ in rest[1]

    def test_no_text_passes_for_a_line_of_its_own_or_commands_a_terminal(self) -> None:
        record = logging.makeLogRecord(
            {"name": "m", "levelname": "INFO", "msg": f"a\n{STAMP} ERROR m: forged\r\x1b[2J"}
        )
        first, second = LineFormatter().format(record).split("\n")
        assert first.endswith("INFO m: a") and second == f"    {STAMP} ERROR m: forged\\r\\x1b[2J"
        assert [is_log_line(line) for line in (first, second)] == [True, False]

    def test_is_known_again(self) -> None:
        assert is_log_line(f"{STAMP} INFO {EVENTS}: epoch: epoch=1", EVENTS)
        assert not is_log_line(f"{STAMP} INFO MedSegTrainerLib.job: text", EVENTS)
        assert is_log_line(f"{STAMP} WARNING [rank 1] py.warnings: text", "py.warnings")
        assert not is_log_line("Downloading torch (820 MB)") and not is_log_line("Killed")


class TestLevels:
    def test_details_are_left_out_unless_asked_for(self, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with job_log(log):
            MODULE.debug("first")
            MODULE.info("second")
        with console_log(), job_log(log):
            MODULE.debug("third")
        assert [line.rpartition(" ")[2] for line in lines(log)] == ["second", "third"]
        assert capsys.readouterr().err.splitlines() == [lines(log)[1]]
        assert LEVEL_VARIABLE not in os.environ and log_level() == logging.INFO

    def test_ranks_beside_the_first_log_warnings_and_say_who_they_are(self, log: Path) -> None:
        with job_log(log, rank=2):
            MODULE.info("said by the first rank too")
            MODULE.warning("memory ran out")
        assert [line.split(" ", 1)[1] for line in lines(log)] == [
            "WARNING [rank 2] MedSegTrainerLib.somewhere: memory ran out"
        ]

    def test_an_unknown_level_is_the_usual_one(self) -> None:
        code = "from MedSegTrainerLib.job_logging import log_level; print(log_level())"
        for word, level in (("loud", "20"), ("debug", "10"), ("handlers", "20")):
            done = subprocess.run(
                [sys.executable, "-c", code], env={**os.environ, LEVEL_VARIABLE: word}, capture_output=True, text=True,
                check=True,
            )  # fmt: skip
            assert done.stdout.strip() == level


class TestOthers:
    """The program around the library keeps what it has set up."""

    def test_get_what_they_want_and_no_more(self, log: Path, outside: list[logging.LogRecord]) -> None:
        with job_log(log):
            MODULE.info("detail")
            MODULE.warning("serious")
        MODULE.warning("after")
        assert [record.msg for record in outside] == ["serious", "after"]
        assert len(lines(log)) == 2
        library = logging.getLogger(LIBRARY)
        assert library.propagate and library.level == logging.NOTSET
        assert [type(handler) for handler in library.handlers] == [logging.NullHandler]

    def test_warnings_are_logged_and_then_shown_as_before(self, log: Path) -> None:
        before = warnings.showwarning
        with warnings.catch_warnings(), job_log(log):
            warnings.simplefilter("always")
            warnings.warn("of another library", FutureWarning, stacklevel=1)
        assert " WARNING py.warnings: " in lines(log)[0] and "FutureWarning: of another library" in lines(log)[0]
        assert warnings.showwarning is before and logging.getLogger("py.warnings").handlers[1:] == []

    def test_importing_the_library_prints_nothing(self) -> None:
        code = "import logging, MedSegTrainerLib; logging.getLogger('MedSegTrainerLib.x').error('lost')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b"", b"")


class TestFile:
    def test_is_appended_to(self, log: Path) -> None:
        log.write_text("of an earlier process\n", encoding="utf-8")
        with job_log(log):
            MODULE.info("Müller ✓")
        assert lines(log)[0] == "of an earlier process" and lines(log)[1].endswith("Müller ✓")

    def test_that_stderr_leads_to_is_written_through_it(self, log: Path) -> None:
        """Prints and logged lines come in their order, also where another handle would not see the other's end."""
        code = (
            "import logging, sys; from pathlib import Path; from MedSegTrainerLib.job_logging import job_log\n"
            "with job_log(Path(sys.argv[1])):\n"
            "    print('one', file=sys.stderr); logging.getLogger('MedSegTrainerLib.m').info('two')\n"
            "    print('three', file=sys.stderr)\n"
        )
        with log.open("wb") as stream:  # not appending, as a child's handle on Windows is
            subprocess.run([sys.executable, "-c", code, str(log)], stderr=stream, check=True)
        assert [line.rpartition(" ")[2] for line in lines(log)] == ["one", "two", "three"]

    def test_a_link_is_not_followed(self, log: Path, tmp_path: Path) -> None:
        precious = tmp_path / "precious.txt"
        precious.write_text("mine", encoding="utf-8")
        log.symlink_to(precious)
        with pytest.raises(StorageError, match=r"log\.txt is a link or no file\. Remove it"), job_log(log):
            MODULE.info("not written")
        assert precious.read_text(encoding="utf-8") == "mine"

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
    def test_a_pipe_is_not_waited_for(self, log: Path) -> None:
        os.mkfifo(log)
        with pytest.raises(StorageError, match="is a link or no file"):
            open_log(log)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
    def test_a_full_disk_ends_nothing(self, log: Path) -> None:
        code = (
            "import logging, sys; from pathlib import Path; from MedSegTrainerLib.job_logging import job_log\n"
            "with job_log(Path('/dev/full')):\n"
            "    logging.getLogger('MedSegTrainerLib.m').info('lost')\n"
            "    print('went on')\n"
        )
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, check=False)
        assert done.stdout == b"went on\n"


def test_reader_gives_whole_new_lines(log: Path) -> None:
    log.write_text("old\n", encoding="utf-8")
    reader = LogReader(log)
    with log.open("a", encoding="utf-8") as stream:
        stream.write("one\ntwo\nhal")
        stream.flush()
        assert reader.read() == ["one", "two"]
        stream.write("f\n")
    assert reader.read() == ["half"] and reader.read() == []
