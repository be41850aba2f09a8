"""Measures MedSegTrainer against plain PyTorch and MONAI, side by side in one run, on this machine."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import environment

if TYPE_CHECKING:
    import torch
    from rich.table import Table

NAMES = ("train", "augment", "preprocess", "infer", "stages", "limit", "nnunet")
"""Modules of ``benchmarks``, each with ``comparisons(material)`` of two sides that share one table, or with
``section(material, arguments)``, a part of the document of its own, and ``show(section)``, its table; or with both."""
ON_REQUEST = ("dice", "labels", "loop", "sure", "nnunet-apply")  # take too long to be done unasked
VOLUME, SMOKE_VOLUME = (96, 160, 160), (24, 64, 64)  # (z, y, x)


def main() -> int:
    arguments = read_arguments(sys.argv[1:])
    environment.enter("bench")
    return run(arguments)


def read_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds",
        type=int,
        default=7,
        metavar="N",
        help="how often each side is timed, or slices are drawn (default: 7)",
    )
    parser.add_argument("--only", default=",".join(NAMES), metavar="NAMES", help="of " + ",".join(NAMES + ON_REQUEST))
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder with labelled volumes of your own")
    parser.add_argument(
        "--volume", type=int, nargs=3, metavar=("Z", "Y", "X"), help="voxels to infer on (default: 96 160 160)"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round: shows only that it runs")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", default=Path("bench.json"), help="where results go (bench.json)"
    )
    _add_dice(parser.add_argument_group("dice: time to the Dice of MONAI's DynUNet recipe"))
    _add_labels(parser.add_argument_group("labels: what gaps in labels cost, on --data with its --split-file"))
    _add_loop(parser.add_argument_group("loop: Dice over slices that are drawn as suggested; takes options of labels"))
    _add_sure(parser.add_argument_group("sure: the likely Dice of a model's results, on the --data it was trained on"))
    arguments = parser.parse_args(argv)
    arguments.only = arguments.only.split(",")
    unknown = [name for name in arguments.only if name not in NAMES + ON_REQUEST]
    if unknown:
        parser.error(f"--only {','.join(unknown)} is unknown; there are {', '.join(NAMES + ON_REQUEST)}")
    if arguments.rounds < 1 or min(arguments.volume or VOLUME) < 1:
        parser.error("--rounds and --volume must be at least 1")
    if arguments.smoke:
        arguments.rounds = 1
    arguments.volume = tuple(arguments.volume or (SMOKE_VOLUME if arguments.smoke else VOLUME))
    return arguments


def _add_dice(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--split-file", type=Path, metavar="FILE", help="JSON list of folds with 'train' and 'val'")
    group.add_argument("--fold", type=int, metavar="N", help="of the split file, or of five (default: random cases)")
    group.add_argument("--minutes", type=float, default=20.0, help="that the recipe gets (default: 20)")
    group.add_argument(
        "--our-minutes", type=float, nargs="+", metavar="M", help="budgets of our jobs (default: a quarter, and all)"
    )
    group.add_argument(
        "--their-rates",
        type=float,
        nargs="+",
        metavar="RATE",
        default=[0.01],
        help="learning rates to give the recipe the minutes with; the best counts (default: 0.01)",
    )
    group.add_argument(
        "--their-recipes",
        nargs="+",
        choices=("published", "light"),
        default=["published"],
        help="light: with a batch and a network for a CPU (default: published)",
    )
    group.add_argument("--together", action="store_true", help="both sides at once, with half of the cores each")


def _add_labels(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--arms", nargs="+", metavar="ARM", help="see benchmarks/labels.py; of loop: rankings")
    group.add_argument("--draws", type=int, default=5, metavar="N", help="of training cases and seeds (default: 5)")
    group.add_argument("--cases", type=int, default=40, metavar="N", help="that a draw trains on (default: 40)")
    group.add_argument("--epochs", type=int, default=75, metavar="N", help="of each training (default: 75)")
    group.add_argument("--samples", type=int, default=80, metavar="N", help="patches of an epoch (default: 80)")
    group.add_argument("--slice-axis", choices=("x", "y", "z"), default="y", help="of drawn slices (default: y)")
    group.add_argument("--set", action="append", metavar="NAME=VALUE", default=[], help="setting of all trainings")


def _add_loop(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--first-cases", type=int, default=3, metavar="N", help="that are drawn whole (default: 3)")
    group.add_argument("--slices", type=int, default=5, metavar="N", help="drawn in a round (default: 5)")
    group.add_argument("--steps", type=int, default=500, metavar="N", help="of each training (default: 500)")
    group.add_argument("--loop-minutes", type=float, metavar="M", help="of each training, in place of --steps")
    group.add_argument(
        "--first-draw",
        type=int,
        default=0,
        metavar="N",
        help="to begin with, where processes share the draws (default: 0)",
    )
    group.add_argument("--target", type=float, default=0.86, metavar="DICE", help="to count slices to (default: 0.86)")


def _add_sure(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model", type=Path, metavar="MODEL", help="a model folder, its zip, or the job that trained it"
    )
    group.add_argument("--divisions", type=int, default=10, metavar="N", help="into halves (default: 10)")
    group.add_argument(
        "--window-overlap", type=float, default=0.5, metavar="SHARE", help="of neighbouring windows (default: 0.5)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measures, prints the table and writes the JSON; returns the exit code."""
    from MedSegTrainerLib import atomic
    from MedSegTrainerLib.errors import MedSegError
    from MedSegTrainerLib.hardware.device import choose_device

    try:
        device, warning = choose_device(arguments.device)
        if warning:
            print(warning, file=sys.stderr)
        document = _measure(arguments, device)
        atomic.write_json(arguments.output, document)
    except MedSegError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    _show(document)
    print(f"All numbers: {arguments.output}")
    return 0


def _measure(arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    import torch
    from benchmarks.machine import machine
    from benchmarks.material import prepare
    from benchmarks.timing import compare

    torch.manual_seed(0)
    print("Planning for this device ...", flush=True)
    rows: list[dict[str, Any]] = []
    sections: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        material = prepare(arguments.data, Path(folder), device, arguments.volume, smoke=arguments.smoke)
        for name in arguments.only:
            module = _module(name)
            for comparison in module.comparisons(material) if hasattr(module, "comparisons") else ():
                print(f"{comparison.name}: {comparison.work} ...", flush=True)
                rows.append(compare(comparison, arguments.rounds, device))
            if hasattr(module, "section"):
                print(f"{name} ...", flush=True)
                sections[name] = module.section(material, arguments)
    plan = material.plan.to_json()
    keys = ("patch_size", "batch_size", "spacing", "network", "mixed_precision", "channels_last")
    return {
        "machine": machine(device),
        "data": "phantoms" if arguments.data is None else arguments.data.name,
        "rounds": arguments.rounds,
        "plan": {key: plan[key] for key in keys},
        "rows": rows,
        "sections": sections,
    }


def _module(name: str) -> ModuleType:
    return importlib.import_module(
        f"benchmarks.{name.replace('-', '_')}"
    )  # only those asked for: some need more than others


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    if document["rows"]:
        console.print(_rows_table(document))
    for name, section in document["sections"].items():
        console.print(_module(name).show(section))


def _rows_table(document: dict[str, Any]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    machine = document["machine"]
    title = f"{machine['cpu']}, {machine['device']}, torch {machine['torch']}, MONAI {machine['monai']}"
    table = Table(title=f"Milliseconds, median of {document['rounds']} (least..most)\n{title}", show_lines=True)
    table.add_column("What")
    for heading in ("Ours", "Theirs", "Faster"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in document["rows"]:
        sides = row["ours"], row["theirs"]
        what = f"[bold]{row['name']}[/]: {escape(row['work'])}\n" + "\n".join(f"- {escape(s['name'])}" for s in sides)
        cells = [f"{s['median_ms']:.1f}\n({s['min_ms']:.1f}..{s['max_ms']:.1f})" for s in sides]
        table.add_row(what, *cells, f"{row['ratio']:.2f} x")
    return table


if __name__ == "__main__":
    raise SystemExit(main())
