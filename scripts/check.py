"""Runs the linter, the formatter (which only looks) and the type checker, all of them, and tells which failed."""

from __future__ import annotations

import environment

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy", "MedSegTrainerLib", "scripts"),
)


def main() -> int:
    python = environment.ensure("check")
    failed = []
    for check in CHECKS:
        print("$", *check, flush=True)
        if environment.run([python, "-m", *check], cwd=environment.ROOT) != 0:
            failed.append(" ".join(check))
    print("Failed: " + "; ".join(failed) if failed else "All checks passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
