"""A folder shared by jobs, in which what was worked out once is found again by what it follows from.

FOLDER/prepared/KEY/   a case as a network sees it
FOLDER/scans/KEY/      what planning must know of a case

KEY is a SHA-256. An entry holds plain files, their lengths and checksums in ``sums.json``, whose time is when it was
last used, and ``in_use``, whose time is when a process last looked at files that it does not keep in memory. Nothing
but these files is ever deleted, and no link is followed. Several processes, also such that die, may use the folder at
the same time: an entry is written beside and moved into place, and moved away before it is deleted.

Only the standard library is imported, so that Slicer's Python can tell the size and clear the folder.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import JobError, StorageError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.files.typed import fits

KINDS = {
    "prepared": ("image.npy", "label.npy", "locations.npy", "geometry.json"),
    "scans": ("foreground.npy", "scan.json"),
}
SUMS, IN_USE, README = "sums.json", "in_use", "README.txt"
OWN_FILES = frozenset({SUMS, IN_USE, *(name for names in KINDS.values() for name in names)})
KEY = re.compile(r"[0-9a-f]{40}")
BLOCK = 1 << 20
HELD_SECONDS = 3600.0  # so long after a look at its files an entry is not taken from a process
MARKED_SECONDS = 60.0  # a look within so many seconds of the last one is not marked again
ABANDONED_SECONDS = 3600.0  # nobody writes so long at an entry: its process died
CHECKED_SHARE = 0.02  # of the most bytes; after so many more the size of the folder is looked at again
ATTEMPTS = 5  # to move an entry into place while others do the same
README_TEXT = (
    "Cases that MedSegTrainer prepared and measured, shared by jobs. Everything here is made again where it is gone:\n"
    "delete it at any time.\n"
)


class SharedFolder:
    """The folder of jobs that share what they prepare; ``most_bytes`` is its bound.

    Entries that a process looks at stay also where that is more.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path, self.most_bytes = path, most_bytes
        self._unchecked = 0

    def open(self) -> None:
        """Makes the folder, and clears away what processes that died left in it; raises StorageError, also where a
        link leads out of it."""
        with atomic.storage_errors(self.path):
            for folder in (self.path / kind for kind in KINDS):
                if folder.is_symlink():
                    raise StorageError(f"{folder} is a link, and a shared cache follows none. Remove it.")
                folder.mkdir(parents=True, exist_ok=True)
            if not (self.path / README).exists():
                atomic.write_bytes(self.path / README, README_TEXT.encode())
        for path in _abandoned(self.path):
            _delete_files(path)

    def entry(self, kind: str, key: str) -> Path:
        """Where the entry of a SHA-256 in hexadecimal digits lies, whether or not it is there."""
        return self.path / kind / key[:40]

    def store(self, path: Path, write: Callable[[Path], None]) -> None:
        """Puts an entry there whose files ``write`` writes into the folder it is given; one that is whole stays.

        It is held until ``release``. Raises StorageError.
        """
        temporary = atomic.temporary_beside(path)
        with atomic.storage_errors(path):
            try:
                temporary.mkdir(parents=True)
                write(temporary)
                sums = {item.name: _sum(item) for item in sorted(temporary.iterdir())}
                atomic.write_json(temporary / SUMS, sums)
                hold(temporary)
                _move(temporary, path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        self._unchecked += sum(size for size, _ in sums.values())
        if self._unchecked > CHECKED_SHARE * self.most_bytes:
            self.keep_within()

    def keep_within(self) -> None:
        """Deletes what was not used for longest until the rest fits; what another process deletes or holds is left."""
        self._unchecked = 0
        entries = [(_last_used(path), _bytes_in(path), path) for path in _entries(self.path)]
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.most_bytes:
                return
            if not _is_held(path) and discard(path):
                total -= size


def is_whole(path: Path) -> bool:
    """Whether an entry has all its files as they were written; reads all of them."""
    try:
        if path.is_symlink():
            return False
        sums = read_json_file(path / SUMS, JobError)
        if not fits(sums, dict[str, list[int]]) or not set(sums) <= OWN_FILES:
            return False
        return bool(sums) and all(_sum(path / name) == values for name, values in sums.items())
    except (OSError, JobError):
        return False


def mark_used(path: Path) -> None:
    """The entry goes later than those that were used before."""
    with suppress(OSError):
        os.utime(path / SUMS)


def hold(path: Path) -> None:
    """For the next hour the entry is not taken from this process."""
    with suppress(OSError):
        marker = path / IN_USE
        if not marker.exists():
            marker.touch()
        elif time.time() - marker.stat().st_mtime > MARKED_SECONDS:
            os.utime(marker)


def release(path: Path) -> None:
    """This process needs the entry no more."""
    with suppress(OSError):
        (path / IN_USE).unlink()


def discard(path: Path) -> bool:
    """Deletes an entry, at once for everybody else; False where the system or another process does not let it go."""
    away = atomic.temporary_beside(path)
    try:
        path.rename(away)
    except OSError:
        return False
    _delete_files(away)
    return True


def size_of(folder: Path) -> int:
    """Bytes of what jobs wrote into a shared folder; 0 where there is none."""
    return sum(entry_sizes(folder))


def entry_sizes(folder: Path) -> Iterator[int]:
    """Bytes of each entry of a shared folder, also of those that processes which died left half-written."""
    yield from map(_bytes_in, chain(_entries(folder), _abandoned(folder)))


def clear(folder: Path) -> int:
    """Deletes all entries of a shared folder and returns their bytes.

    A job that works makes again what it misses. What the system does not let go, as Windows does with files that are
    looked at, stays, and so does everything that no job wrote.
    """
    return sum(clear_entries(folder))


def clear_entries(folder: Path) -> Iterator[int]:
    """``clear``, an entry a step: yields the bytes that were freed."""
    for path in _entries(folder):
        size = _bytes_in(path)
        yield size if discard(path) else 0
    for path in _abandoned(folder):
        size = _bytes_in(path)
        _delete_files(path)
        yield size


def _entries(folder: Path) -> Iterator[Path]:
    """Folders that jobs wrote, and nothing that a link leads to or in which somebody put something else."""
    for path in _folders_in(folder):
        if KEY.fullmatch(path.name) and _holds_own_files_alone(path):
            yield path


def _abandoned(folder: Path) -> Iterator[Path]:
    """Half-written and half-deleted entries of processes that died."""
    for path in _folders_in(folder):
        if atomic.TEMPORARY.match(path.name) and KEY.fullmatch(path.name[-40:]) and _holds_own_files_alone(path):
            with suppress(OSError):
                newest = max([path.stat().st_mtime, *(item.lstat().st_mtime for item in path.iterdir())])
                if time.time() - newest > ABANDONED_SECONDS:
                    yield path


def _folders_in(folder: Path) -> Iterator[Path]:
    for kind in KINDS:
        place = folder / kind
        with suppress(OSError):
            if not place.is_symlink() and place.is_dir():
                yield from [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]


def _holds_own_files_alone(path: Path) -> bool:
    try:
        names = [item.name for item in path.iterdir()]
    except OSError:  # another process deleted it
        return False
    return all(name in OWN_FILES or atomic.TEMPORARY.match(name) for name in names)


def _move(temporary: Path, path: Path) -> None:
    """An entry into place; raises OSError, and StorageError where a link or files of somebody else are."""
    for _ in range(ATTEMPTS):
        if path.is_symlink() or (path.exists() and not (path.is_dir() and _holds_own_files_alone(path))):
            raise StorageError(
                f"{path} is a link, or holds files that are not of a shared cache. Remove it, or choose another folder."
            )
        try:
            temporary.rename(path)
            return
        except OSError:
            if is_whole(path):  # another process was quicker
                return
            if not path.exists():
                raise
        discard(path)
    raise StorageError(f"{path} is damaged and cannot be replaced: another program uses it. Close it, or delete that.")


def _delete_files(path: Path) -> None:
    """The files that a job wrote, then the folder if nothing else is in it."""
    with suppress(OSError):
        for item in list(path.iterdir()):
            if item.name in OWN_FILES or atomic.TEMPORARY.match(item.name):
                with suppress(OSError):
                    item.unlink()
        path.rmdir()


def _last_used(path: Path) -> float:
    return max((_time_of(path / name) for name in (SUMS, IN_USE)), default=0.0)


def _is_held(path: Path) -> bool:
    return time.time() - _time_of(path / IN_USE) < HELD_SECONDS


def _time_of(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _bytes_in(path: Path) -> int:
    total = 0
    with suppress(OSError):
        for item in path.iterdir():
            with suppress(OSError):
                total += item.lstat().st_size
    return total


def _sum(path: Path) -> list[int]:
    """Length and CRC-32 of a file; raises OSError, also for a link."""
    length, checksum = 0, 0
    if path.is_symlink():
        raise OSError(f"{path} is a link")
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            length, checksum = length + len(block), zlib.crc32(block, checksum)
    return [length, checksum]
