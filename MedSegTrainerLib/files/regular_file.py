"""The one check before a file that somebody else names is opened: that it is a file, and one that can be named.

Only the standard library is imported, so that Slicer's Python can use it.
"""

from __future__ import annotations

import stat
from pathlib import Path

from MedSegTrainerLib.errors import DataError, MedSegError

KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def refuse_no_file(path: Path, error: type[MedSegError] = DataError) -> None:
    """Raises ``error`` where the path does not lead to a regular file.

    A pipe would be waited for without end, a device read without end. Symbolic links are followed.
    """
    refuse_unnameable(path, error)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            target = path.readlink()
            raise error(
                f"{path} is a link to {target}, which is not there. Get the file (git-annex and DataLad: 'get'; or "
                "mount its disk), or remove the link."
            ) from None
        raise error(f"{path} does not exist. Check the path, or remove the case.") from None
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}. Check the path and who may read it.") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise error(f"{path} is {kind}, and a file is needed. Give the file itself.")


def refuse_unnameable(path: Path, error: type[MedSegError] = DataError) -> None:
    """Raises ``error`` for a path with bytes that are no text (names from old archives), or with a NUL in it.

    Neither JSON nor ITK can hold such a name: ITK ends the whole process.
    """
    name = str(path)
    if "\0" in name:
        raise error(f"{name!r} is no path: it holds a NUL character. Correct it where it is written.")
    try:
        name.encode()
    except UnicodeEncodeError:
        text = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise error(
            f"{text} has a name that is not UTF-8, as old archives leave it, and image readers cannot open it. Rename "
            "it, for instance with: convmv -f latin1 -t utf8 -r --notest FOLDER"
        ) from None
