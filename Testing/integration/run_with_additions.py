"""Uses a network, a loss, a metric, a logged metric, a file format and a kind of job that ``test_additions.py`` added.

    python run_with_additions.py DATASET OUT

Writes OUT/facts.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from MedSegTrainerLib.api import apply, evaluate
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import JobConfig, TrainConfig
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.json_schema import job_schema
from MedSegTrainerLib.jobs.kinds import parse_job
from MedSegTrainerLib.jobs.run import run_job

SETTINGS = (
    "network.type=TwoLevels", "loss_type=tversky", "monitor=val_miss_rate", "learning_rate=0.01", "epochs=2",
    "trainer.device=cpu", "batch_size=2", "patch_size=[8, 16, 16]", "samples_per_volume=2", "mixed_precision=false",
    "cache=memory", "checkpoint_seconds=0", "fold=0", "folds=3",
)  # fmt: skip


def run(path: Path, config: JobConfig) -> JobFolder:
    folder = JobFolder(path)
    folder.create(config)
    run_job(path)
    return folder


def main(dataset: Path, out: Path) -> None:
    values = with_settings({"data": {"data_dir": str(dataset)}}, SETTINGS)
    trained = run(out / "train", parse_config(TrainConfig, values))
    (label_map,) = apply(trained.path, [dataset / "images" / "case_1.nii.gz"], out / "raw", output_format="raw")
    predictions = trained.report / "predictions"
    measured = evaluate(predictions, dataset / "labels", out / "report", metrics=["false negative rate", "recall"])
    count = {"kind": "count", "config": {"folder": str(dataset / "images"), "most": "99"}}
    counted = run(out / "count", parse_job(count))
    facts: dict[str, Any] = {
        "plan": read_json_file(trained.plan_file),
        "events": EventReader(trained.events_file).read(),
        "tensorboard": EventAccumulator(str(trained.tensorboard)).Reload().Tags()["scalars"],
        "label_map": str(label_map),
        "summary": measured["summary"],
        "count": counted.status().message,
        "counted": read_json_file(counted.report / "count.json"),
        "schema": job_schema(),
    }
    try:
        parse_job({"kind": "count", "config": {"fewest": 5, "most": 4}})
    except ConfigError as error:
        facts["contradiction"] = error.problems
    (out / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
