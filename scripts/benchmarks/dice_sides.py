"""The two sides of the comparison by time to Dice: what each is given, how it is started, and what it reached."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dynunet import CURVE, OUTCOME, PREDICTIONS, Recipe, Task
from benchmarks.processes import Environment, Work
from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.checks.fingerprint import Fingerprint
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.evaluation.evaluate import evaluate
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.workflow.settings_files import train_config

SCRIPTS = Path(__file__).resolve().parents[1]
TASK04 = Recipe(patch=(40, 56, 40), spacing=(1.0, 1.0, 1.0), batch=9, samples=1, positive=2, heads=1, resample=False)
"""The pipeline's numbers for the hippocampus data (task_params.py, commands/task04/train.sh)."""
FORMS: dict[str, Callable[[Recipe], Recipe]] = {
    "published": lambda recipe: recipe,
    "light": lambda recipe: replace(recipe, batch=2, width=16),  # as somebody would make it who has only a CPU
}
PATCH_SIZES = (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)  # can be halved down to less than eight voxels
SMOKE = ("network.base_channels=4", "network.dims=3", "data.patch_size=[16, 32, 32]", "data.batch_size=2")
LOG_LINES_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What both sides work on. split_file: one fold, of ``train`` and ``val``. folder: takes what is made."""

    data: Path
    train: tuple[Case, ...]
    val: tuple[Case, ...]
    split_file: Path
    classes: tuple[LabelClass, ...]
    recipe: Recipe
    folder: Path
    device: str
    smoke: bool


def recipe_for(fingerprint: Fingerprint, name: str, *, smoke: bool) -> Recipe:
    """The published numbers where there are some; else the pipeline's defaults, at the median spacing, with the largest
    patch that has at most the median size and 128 voxels along an axis."""
    if name.lower() == "hippocampus":
        return TASK04
    spacing = [float(mm) for mm in np.median(fingerprint.spacings, axis=0)[::-1]]
    sizes = np.median(fingerprint.sizes * fingerprint.spacings, axis=0)[::-1] / spacing
    patch = [max(n for n in PATCH_SIZES if n <= max(size, PATCH_SIZES[0])) for size in sizes]
    if smoke:
        patch = [PATCH_SIZES[0]] * 3
    return Recipe(
        patch=(patch[0], patch[1], patch[2]),
        spacing=(spacing[0], spacing[1], spacing[2]),
        batch=2,
        samples=1 if smoke else 3,
        positive=1,
        heads=3,
        resample=not np.allclose(fingerprint.spacings, fingerprint.spacings[0], rtol=1e-3),
    )


# --- Ours ---


def our_work(setting: Setting, minutes: float) -> Work:
    """A job as the command line makes it."""
    folder = JobFolder(setting.folder / f"ours-{minutes:g}m")
    given = [
        f"trainer.budget={60 * minutes:.3f}s",
        f"trainer.device={setting.device}",
        f"data.split_file={setting.split_file}",
        *(SMOKE if setting.smoke else ()),
    ]

    def start(environment: Environment) -> subprocess.Popen[bytes]:
        folder.create(train_config(setting.data, None, given))
        return folder.start(environment=environment)

    def check() -> None:
        status = folder.status()
        if status.state != "finished" or not folder.report.exists():
            raise JobError(f"The training in {folder.path} ended without a report: {status.message}")

    return Work(name=f"MedSegTrainer, budget of {minutes:g} minutes", start=start, check=check)


def our_result(setting: Setting, minutes: float, work: Work) -> dict[str, Any]:
    """Minutes count from the start of the process, as those of the curve; the Dice is the report's."""
    folder = JobFolder(setting.folder / f"ours-{minutes:g}m")
    plan = _read(folder.plan_file)
    keys = ("patch_size", "batch_size", "network", "mixed_precision", "optimizer_type", "learning_rate", "epochs")
    events = EventReader(folder.events_file).read(limit=10**9)
    curve = [
        {"minutes": (event["time"] - work.started) / 60, "mean_dice": event["mean_dice"], "dice": event["dice"]}
        for event in events
        if event["kind"] == "validated"
    ]
    return {
        "name": work.name,
        "planned_minutes": minutes,
        "minutes": work.seconds / 60,
        **_reached(_read(folder.report / "metrics.json")),
        "curve": curve,
        "plan": {key: plan[key] for key in keys},
    }


# --- Theirs ---


def their_work(setting: Setting, minutes: float, rate: float, form: str) -> Work:
    """MONAI's recipe in a process of its own, in one of the ``FORMS``."""
    folder, recipe = _their_folder(setting, rate, form), FORMS[form](setting.recipe)
    task = Task(
        recipe=recipe,
        minutes=minutes,
        rate=rate,
        train=_files(setting.train),
        val=_files(setting.val),
        classes=[item.name for item in setting.classes],
        folder=str(folder),
        device=setting.device,
    )

    def start(environment: Environment) -> subprocess.Popen[bytes]:
        folder.mkdir(parents=True)
        threads = environment.get("OMP_NUM_THREADS")
        document = asdict(task) | ({"threads": int(threads)} if threads else {})
        atomic.write_json(folder / "task.json", document)
        with (folder / "log.txt").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.dynunet", str(folder / "task.json")],
                cwd=SCRIPTS,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def check() -> None:
        if not (folder / OUTCOME).exists():
            lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
            raise JobError("\n".join([f"MONAI's side ended without a result ({folder}):", *lines[-LOG_LINES_SHOWN:]]))

    name = f"MONAI's DynUNet recipe, {form}: learning rate {rate:g}, batch {recipe.batch}, {recipe.width} features"
    return Work(name=name, start=start, check=check)


def their_result(setting: Setting, minutes: float, rate: float, form: str, work: Work) -> dict[str, Any]:
    """As ``our_result``; their label maps are compared with the references here, outside their time."""
    folder = _their_folder(setting, rate, form)
    pairs = [
        Pair(
            name=case.name,
            prediction=folder / PREDICTIONS / f"{case.name}.nii.gz",
            reference=case.label,
            image=case.images[0],
        )
        for case in setting.val
    ]
    measured = evaluate(pairs, setting.classes, folder / "report", lambda event: None, title=work.name)
    lines = (folder / CURVE).read_text(encoding="utf-8").splitlines()
    return {
        "name": work.name,
        "planned_minutes": minutes,
        "minutes": work.seconds / 60,
        **_reached(measured),
        "curve": [json.loads(line) for line in lines],
        "learning_rate": rate,
        "recipe": asdict(FORMS[form](setting.recipe)),
        "outcome": _read(folder / OUTCOME),
    }


def _their_folder(setting: Setting, rate: float, form: str) -> Path:
    return setting.folder / f"monai-{form}-{rate:g}"


def _files(cases: Sequence[Case]) -> list[dict[str, Any]]:
    return [
        {"name": case.name, "image": [str(path.resolve()) for path in case.images], "label": str(case.label.resolve())}
        for case in cases
    ]


def _reached(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "mean_dice": metrics["overall"]["mean_dice"],
        "dice": {name: item["dice"]["mean"] for name, item in metrics["summary"].items()},
        "hd95_mm": {name: item["hd95_mm"]["mean"] for name, item in metrics["summary"].items()},
    }


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
