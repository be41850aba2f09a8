"""Trains, applies and evaluates a model in some minutes: on made-up volumes, or with ``--data`` on your own."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import environment

TRAINING_CASES, HELD_OUT_CASES = 12, 4
MARKER = ".made-by-demo"  # only a folder with this file in it is ever replaced


def main() -> int:
    arguments = read_arguments(sys.argv[1:])
    environment.enter()
    _replace_earlier(arguments.output)
    if arguments.data is None:
        return _on_phantoms(arguments.output, arguments.budget)
    return _on_own_data(arguments.data, arguments.output, arguments.budget)


def read_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder with labelled volumes of your own")
    parser.add_argument("--budget", default="3m", help="time for the training, such as 90s, 20m or 1h30m (default: 3m)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", default=environment.ROOT / "demo", help="where results go (demo/)"
    )
    arguments = parser.parse_args(argv)
    data, output = arguments.data, arguments.output
    if data is not None and not data.is_dir():
        parser.error(f"{data} is not a folder; give the one that holds your images and labels")
    if data is not None and output.resolve() in [data.resolve(), *data.resolve().parents]:
        parser.error(f"{data} lies in {output}, which the demo replaces; choose another output folder with -o")
    return arguments


def _on_phantoms(output: Path, budget: str) -> int:
    from MedSegTrainerLib.data.phantom import write_phantoms

    data, job, predictions, report = output / "data", output / "job", output / "predictions", output / "report"
    print(f"Making {TRAINING_CASES + HELD_OUT_CASES} made-up MR volumes in {_path_text(data)} ...", flush=True)
    write_phantoms(data, train=TRAINING_CASES, held_out=HELD_OUT_CASES)
    steps: list[list[str | Path]] = [
        ["train", data / "train", "-o", job, "--budget", budget],
        ["apply", job, data / "held_out" / "images", "-o", predictions],
        ["evaluate", predictions, data / "held_out" / "labels", "-o", report],
    ]
    for step in steps:
        code = _medsegtrainer(*step)
        if code != 0:
            return code
    _show_dice(report, f"{HELD_OUT_CASES} volumes that the training never saw")
    _print_path("Label maps", predictions)
    _print_path("Report", report / "report.html")
    _print_path("Model", job / "model")
    print("\nNow with your own volumes, in images/ and labels/ or as Resources/docs/DATALOADER.md says:")
    print(f"  {_command('train', 'YOUR_FOLDER', '-o', 'JOB', '--budget', '20m')}")
    print(f"  {_command('apply', 'JOB', 'NEW_IMAGES', '-o', 'OUT')}")
    return 0


def _on_own_data(data: Path, output: Path, budget: str) -> int:
    job = output / "job"
    code = _medsegtrainer("train", data, "-o", job, "--budget", budget, "--set", "data.test_split=0.2")
    if code != 0:
        return code
    report = job / "report"
    if (report / "metrics.json").exists():
        _show_dice(report, "the volumes that were held out")
        _print_path("Report", report / "report.html")
    _print_path("Model", job / "model")
    print("\nNow apply it to other volumes:")
    print(f"  {_command('apply', job, 'NEW_IMAGES', '-o', 'OUT')}")
    return 0


def _replace_earlier(output: Path) -> None:
    """An empty output folder with the marker in it; ends the script rather than delete what the demo did not make."""
    marker = output / MARKER
    try:
        if output.exists() and not marker.exists() and (not output.is_dir() or any(output.iterdir())):
            raise SystemExit(f"{output} is not from an earlier demo and stays as it is. Choose another folder with -o.")
        if output.exists():
            for entry in output.iterdir():
                if entry != marker:  # removed last, so that an interrupted demo can still be replaced
                    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        output.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError as error:
        raise SystemExit(f"{output} cannot be used: {error}. Choose another folder with -o.") from None


def _medsegtrainer(*arguments: str | Path) -> int:
    print(f"\n$ {_command(*arguments)}", flush=True)
    return environment.run([sys.executable, "-m", "MedSegTrainerLib", *map(str, arguments)])


def _command(*arguments: str | Path) -> str:
    """As the user would write it from here."""
    command = [Path(sys.executable).with_name("medsegtrainer"), *arguments]
    return shlex.join(_path_text(part) if isinstance(part, Path) else part for part in command)


def _show_dice(report: Path, cases: str) -> None:
    from rich.console import Console
    from rich.table import Table

    summary: dict[str, Any] = json.loads((report / "metrics.json").read_text(encoding="utf-8"))["summary"]
    table = Table()
    table.add_column("Structure")
    for heading in ("Mean", "Lowest"):
        table.add_column(heading, justify="right")
    for name, metrics in summary.items():
        dice = metrics["dice"]
        table.add_row(name, *("-" if dice[key] is None else f"{dice[key]:.3f}" for key in ("mean", "min")))
    Console().print(f"\nDice on {cases}:", table)


def _print_path(what: str, path: Path) -> None:
    print(f"{what + ':':<12}{_path_text(path)}")


def _path_text(path: Path) -> str:
    """Relative to where the user is, when it lies below."""
    current = Path.cwd()
    return str(path.relative_to(current)) if path.is_relative_to(current) else str(path)


if __name__ == "__main__":
    raise SystemExit(main())
