"""A folder shared by jobs is bounded, whole whoever dies in it, and loses nothing that no job wrote."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from MedSegTrainerLib import cache_folder
from MedSegTrainerLib.cache_folder import (
    ABANDONED_SECONDS,
    HELD_SECONDS,
    IN_USE,
    SUMS,
    SharedFolder,
    clear,
    clear_entries,
    entry_sizes,
    hold,
    is_whole,
    mark_used,
    release,
    size_of,
)
from MedSegTrainerLib.errors import StorageError

LIBRARY = Path(cache_folder.__file__).parents[1]
LARGE = 10**9


def key(number: int) -> str:
    return f"{number:064x}"[::-1]


@pytest.fixture
def shared(tmp_path: Path) -> SharedFolder:
    folder = SharedFolder(tmp_path / "shared", LARGE)
    folder.open()
    return folder


def writing(content: bytes = b"x" * 1000) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "scan.json").write_bytes(content)
        (folder / "foreground.npy").write_bytes(content[::-1])

    return write


def stored(shared: SharedFolder, number: int, content: bytes = b"x" * 1000) -> Path:
    path = shared.entry("scans", key(number))
    shared.store(path, writing(content))
    release(path)
    return path


def set_age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_an_entry_is_found_again(shared: SharedFolder) -> None:
    path = stored(shared, 1)
    assert (
        is_whole(path)
        and not is_whole(shared.entry("scans", key(2)))
        and not is_whole(shared.entry("prepared", key(1)))
    )
    assert size_of(shared.path) > 2000 and "delete it at any time" in (shared.path / "README.txt").read_text()


@pytest.mark.parametrize("damage", ["shorter", "one bit", "gone", "another list", "no list", "longer list"])
def test_a_damaged_entry_is_none_and_is_replaced(shared: SharedFolder, damage: str) -> None:
    path = stored(shared, 1)
    content, sums = path / "scan.json", path / SUMS
    damages: dict[str, Callable[[], object]] = {
        "shorter": lambda: content.write_bytes(b"x" * 999),
        "one bit": lambda: content.write_bytes(b"y" + b"x" * 999),
        "gone": content.unlink,
        "another list": lambda: sums.write_text('{"../../README.txt": [1, 2]}'),
        "no list": lambda: sums.write_text("{}"),
        "longer list": lambda: sums.write_text('{"scan.json": "x"}'),
    }
    damages[damage]()
    assert not is_whole(path)
    stored(shared, 1, b"z" * 500)
    assert is_whole(path) and content.read_bytes() == b"z" * 500


def test_it_goes_to_the_processes_that_train_together(shared: SharedFolder) -> None:
    copy = pickle.loads(pickle.dumps(shared))
    assert (copy.path, copy.most_bytes) == (shared.path, LARGE) and is_whole(stored(copy, 1))


def test_one_that_is_whole_stays(shared: SharedFolder) -> None:
    path = stored(shared, 1)
    stored(shared, 1, b"z" * 500)
    assert (path / "scan.json").read_bytes() == b"x" * 1000
    assert [item.name for item in path.parent.iterdir()] == [path.name]


class TestBound:
    def test_what_was_not_used_for_longest_goes_first(self, tmp_path: Path) -> None:
        shared = SharedFolder(tmp_path, LARGE)
        paths = [stored(shared, number) for number in range(4)]
        for age, path in zip((40, 30, 20, 10), paths, strict=True):
            set_age(path / SUMS, age)
        mark_used(paths[0])
        shared.most_bytes = size_of(tmp_path) // 2
        shared.keep_within()
        assert [path.exists() for path in paths] == [True, False, False, True]
        assert size_of(tmp_path) <= shared.most_bytes

    def test_writing_keeps_it(self, tmp_path: Path) -> None:
        shared = SharedFolder(tmp_path, 10_000)
        for number in range(20):
            set_age(stored(shared, number) / SUMS, 100 - number)
        assert size_of(tmp_path) < 13_000 and is_whole(shared.entry("scans", key(19)))

    def test_what_a_job_looks_at_stays_until_it_is_long_ago(self, shared: SharedFolder) -> None:
        path = stored(shared, 1)
        hold(path)
        shared.most_bytes = 0
        shared.keep_within()
        assert is_whole(path)
        set_age(path / IN_USE, HELD_SECONDS + 1)
        shared.keep_within()
        assert not path.exists()

    def test_a_second_look_is_marked_once_a_minute(self, shared: SharedFolder) -> None:
        path = stored(shared, 1)
        hold(path)
        for age, is_marked in ((30, False), (100, True)):
            set_age(path / IN_USE, age)
            hold(path)
            assert (time.time() - (path / IN_USE).stat().st_mtime < 20) == is_marked

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser is refused nothing")
    def test_what_the_system_does_not_let_go_stays(self, shared: SharedFolder) -> None:
        path = stored(shared, 1)
        path.parent.chmod(0o500)
        shared.most_bytes = 0
        shared.keep_within()
        path.parent.chmod(0o700)
        assert is_whole(path)


class TestOnlyItsOwn:
    def test_clearing_leaves_what_no_job_wrote(self, shared: SharedFolder, tmp_path: Path) -> None:
        path, mixed = stored(shared, 1), stored(shared, 2)
        (mixed / "notes.txt").write_text("mine")
        (shared.path / "mine.txt").write_text("mine")
        (shared.path / "scans" / "thesis").mkdir()
        (shared.path / "scans" / "thesis" / "scan.json").write_text("mine")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "scan.json").write_text("mine")
        (shared.path / "scans" / key(3)[:40]).symlink_to(elsewhere, target_is_directory=True)
        size = size_of(shared.path)
        assert clear(shared.path) == size > 0 and size_of(shared.path) == 0
        assert not path.exists() and (mixed / "notes.txt").exists() and (mixed / "scan.json").exists()
        assert (elsewhere / "scan.json").exists() and (shared.path / "mine.txt").exists()
        assert (shared.path / "scans" / "thesis" / "scan.json").exists()

    def test_a_kind_that_is_a_link_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere" / key(1)[:40]).mkdir(parents=True)
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared" / "scans").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        with pytest.raises(StorageError, match="is a link"):
            SharedFolder(tmp_path / "shared", LARGE).open()
        assert clear(tmp_path / "shared") == size_of(tmp_path / "shared") == 0
        assert (tmp_path / "elsewhere" / key(1)[:40]).exists()

    def test_a_link_in_the_place_of_an_entry_is_neither_followed_nor_replaced(
        self, shared: SharedFolder, tmp_path: Path
    ) -> None:
        whole = stored(shared, 1)
        link = shared.entry("scans", key(2))
        link.symlink_to(whole, target_is_directory=True)
        assert not is_whole(link)
        with pytest.raises(StorageError, match="Remove it"):
            shared.store(link, writing())
        assert link.is_symlink() and not list(link.parent.glob(".tmp*"))

    def test_a_file_that_is_a_link_is_not_read(self, shared: SharedFolder, tmp_path: Path) -> None:
        path = stored(shared, 1)
        (path / "scan.json").rename(tmp_path / "outside.json")
        (path / "scan.json").symlink_to(tmp_path / "outside.json")
        assert not is_whole(path)
        stored(shared, 1)
        assert is_whole(path) and (tmp_path / "outside.json").exists()

    def test_of_no_folder_there_is_nothing(self, tmp_path: Path) -> None:
        assert size_of(tmp_path / "none") == clear(tmp_path / "none") == 0

    def test_where_a_file_is_no_folder_is_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="file"):
            SharedFolder(tmp_path / "file", LARGE).open()


def test_size_and_clearing_come_in_pieces(shared: SharedFolder) -> None:
    """For a panel that must not stand still."""
    paths = [stored(shared, number) for number in range(3)]
    sizes = list(entry_sizes(shared.path))
    assert len(sizes) == 3 and sum(sizes) == size_of(shared.path)
    pieces = clear_entries(shared.path)
    assert next(pieces) > 0 and sum(path.exists() for path in paths) == 2
    assert sum(pieces) > 0 and size_of(shared.path) == 0


def test_half_an_entry_of_a_process_that_died_goes_when_it_is_old(shared: SharedFolder) -> None:
    half = shared.path / "scans" / f".tmp-0123abcd-{key(1)[:40]}"
    half.mkdir()
    (half / "scan.json").write_bytes(b"x" * 100)
    shared.open()
    assert half.exists() and size_of(shared.path) == 0  # somebody may be writing it
    for path in (half / "scan.json", half):
        set_age(path, ABANDONED_SECONDS + 1)
    assert size_of(shared.path) == 100
    shared.open()
    assert not half.exists()


def test_nothing_stays_of_an_entry_that_could_not_be_written(shared: SharedFolder) -> None:
    def fail(folder: Path) -> None:
        writing()(folder)
        raise OSError("no space")

    path = shared.entry("scans", key(1))
    with pytest.raises(StorageError):
        shared.store(path, fail)
    assert not list(path.parent.iterdir())


BUSY = """
import sys
from pathlib import Path
from MedSegTrainerLib.cache_folder import SharedFolder, is_whole, release
shared = SharedFolder(Path(sys.argv[1]), 12_000)
shared.open()
for turn in range(60):
    number = (turn * int(sys.argv[2])) % 7
    path = shared.entry("scans", f"{number:064x}"[::-1])
    def write(folder):
        for name in ("scan.json", "foreground.npy"):
            (folder / name).write_bytes(bytes([number]) * 1000)
    if not is_whole(path):
        shared.store(path, write)
    release(path)
"""


def test_processes_write_delete_and_die_at_the_same_time(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", BUSY, str(tmp_path / "shared"), str(step)] for step in (1, 2, 3)]
    processes = [subprocess.Popen(command, cwd=LIBRARY, stderr=subprocess.PIPE) for command in commands]
    killed = subprocess.Popen(commands[0], cwd=LIBRARY, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "shared").glob("scans/*")) and killed.poll() is None:
        time.sleep(0.001)
    killed.kill()
    killed.wait()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    entries = [path for path in (tmp_path / "shared" / "scans").iterdir() if not path.name.startswith(".tmp")]
    assert entries and all(map(is_whole, entries)) and len(entries) <= 7
