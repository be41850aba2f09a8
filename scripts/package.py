"""Puts the files of the module together as an installed extension has them, in ``dist/MedSegTrainer``.

That folder can be dragged into 3D Slicer, or copied to a machine without git. What is copied is what the lists in the
CMake files name, as Slicer's own packaging does.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DESTINATION = ROOT / "dist" / "MedSegTrainer"
# folder of the CMakeLists.txt, and where its files go in an installed extension
PARTS = {"MedSegTrainer": "", "MedSegTrainerLib": "MedSegTrainerLib"}
LISTS = ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")


def main() -> int:
    if DESTINATION.exists():
        shutil.rmtree(DESTINATION)
    count = len(package(DESTINATION))
    print(f"{count} files in {DESTINATION}\nDrag that folder onto the window of 3D Slicer and choose MedSegTrainer.")
    return 0


def package(destination: Path) -> list[Path]:
    """Copies every listed file, and the licence; gives the paths below ``destination``."""
    copied = []
    for part, place in PARTS.items():
        for name in listed_files(part):
            copied.append(_copy(ROOT / part / name, destination, Path(place) / name))
    copied.append(_copy(ROOT / "LICENSE", destination, Path("LICENSE")))
    return copied


def listed_files(part: str) -> list[str]:
    """The names in the lists of ``part/CMakeLists.txt``, relative to that folder."""
    text = re.sub(r"#.*", "", (ROOT / part / "CMakeLists.txt").read_text(encoding="utf-8"))
    values = {name: value.split() for name, value in re.findall(r"\bset\(\s*(\w+)([^()]*)\)", text)}
    [module] = values["MODULE_NAME"]
    return [entry.replace("${MODULE_NAME}", module) for name in LISTS for entry in values[name]]


def _copy(source: Path, destination: Path, name: Path) -> Path:
    (destination / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, destination / name)
    return name


if __name__ == "__main__":
    raise SystemExit(main())
