"""Puts the files of the module together as an installed extension has them, in ``dist/MedSegTrainer``.

That folder can be dragged into 3D Slicer, or copied to a machine without git. What is copied is what the CMake files
pack, as Slicer's own packaging does.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DESTINATION = ROOT / "dist" / "MedSegTrainer"
# folder of the CMakeLists.txt, and where its files go in an installed extension
PARTS = {"MedSegTrainer": "", "MedSegTrainerLib": "MedSegTrainerLib"}
PACKED = (".py", ".j2", ".png", ".qm", ".ts", ".txt", ".ui")


def main() -> int:
    if DESTINATION.exists():
        shutil.rmtree(DESTINATION)
    count = len(package(DESTINATION))
    print(f"{count} files in {DESTINATION}\nDrag that folder onto the window of 3D Slicer and choose MedSegTrainer.")
    return 0


def package(destination: Path) -> list[Path]:
    """Copies every packed file, and the licence; gives the paths below ``destination``."""
    copied = []
    for part, place in PARTS.items():
        for name in packed_files(part):
            copied.append(_copy(ROOT / part / name, destination, Path(place) / name))
    copied.append(_copy(ROOT / "LICENSE", destination, Path("LICENSE")))
    return copied


def packed_files(part: str) -> list[str]:
    """What the globs of ``part/CMakeLists.txt`` find, relative to that folder."""
    folder = ROOT / part
    paths = (path for path in folder.rglob("*") if path.suffix in PACKED and path.name != "CMakeLists.txt")
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def _copy(source: Path, destination: Path, name: Path) -> Path:
    (destination / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, destination / name)
    return name


if __name__ == "__main__":
    raise SystemExit(main())
