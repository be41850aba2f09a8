"""Checks the contracts of ``[tool.importlinter]`` in pyproject.toml: who may import whom, and no circles.

Needs import-linter, which ``scripts/check.py`` installs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent


def main(root: Path = ROOT) -> int:
    os.chdir(root)  # where import-linter looks for its settings
    sys.path[:0] = [str(root), str(root / "MedSegTrainer")]
    return lint_imports(no_cache=True, no_logo=True)


if __name__ == "__main__":
    raise SystemExit(main(*map(Path, sys.argv[1:2])))
