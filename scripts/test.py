"""Runs the tests that take no minutes: ``python scripts/test.py [arguments of pytest]``."""

from __future__ import annotations

import sys

import environment


def main() -> int:
    python = environment.ensure("test", "bench", "slicer")
    return environment.run([python, "-m", "pytest", *sys.argv[1:]], cwd=environment.ROOT)


if __name__ == "__main__":
    raise SystemExit(main())
