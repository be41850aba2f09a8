"""Runs the linter, the formatter (which only looks), the type checker and the contracts of who imports whom.

All of them are run, and what failed is told at the end.
"""

from __future__ import annotations

import environment

CHECKS = (
    ("-m", "ruff", "check", "."),
    ("-m", "ruff", "format", "--check", "."),
    ("-m", "mypy", "MedSegTrainerLib", "scripts", "MedSegTrainer/MedSegTrainerUI", "MedSegTrainer/MedSegTrainer.py"),
    ("scripts/layers.py",),
)


def main() -> int:
    python = environment.ensure("check")
    failed = []
    for check in CHECKS:
        print("$", *check, flush=True)
        if environment.run([python, *check], cwd=environment.ROOT) != 0:
            failed.append(" ".join(check))
    print("Failed: " + "; ".join(failed) if failed else "All checks passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
