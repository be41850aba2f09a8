"""Runs the tests that take no minutes, a process for each core: ``python scripts/test.py [arguments of pytest]``."""

from __future__ import annotations

import os
import sys

import environment

PARALLEL = ("-n", "auto", "--dist", "loadfile")  # what the tests of a file share is made once


def main() -> int:
    python = environment.ensure("test", "bench", "slicer")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of several processes on one core wait for each other
    return environment.run([python, "-m", "pytest", *PARALLEL, *sys.argv[1:]], cwd=environment.ROOT)


if __name__ == "__main__":
    raise SystemExit(main())
