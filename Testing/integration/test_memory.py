"""The memory of a training whose volumes stay on disk does not grow with the number of cases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.job import JobFolder

MEASURED_RUN = Path(__file__).with_name("measured_run.py")
ROOT = Path(__file__).resolve().parents[2]
SHAPE = (24, 40, 32)  # (z, y, x); prepared 154 kB a case, 31 MB for 200 of them
FEW, MANY = 50, 250  # of 50 cases 6 are tested: as many as a report has pictures of
STEADY = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}  # how threads share memory differs from run to run
SETTINGS = (
    "trainer.device=cpu", "mixed_precision=false", "channels_last=false", "base_channels=4", "cache=disk", "epochs=1",
    "patch_size=[8, 16, 16]", "batch_size=8", "samples_per_volume=1", "val_split=0.1", "test_split=0.12",
    "tensorboard=false", "case_sampling=weighted", "num_workers=2",
)  # fmt: skip


def write_cases(root: Path, count: int) -> None:
    generator = np.random.default_rng(count)
    noise = generator.normal(200, 40, SHAPE).astype(np.int16)
    for index in range(count):
        label = np.zeros(SHAPE, np.uint8)
        z, y, x = generator.integers(2, 8, 3).tolist()
        label[z : z + 12, y : y + 20, x : x + 15] = 1
        image = np.roll(noise, index) + label * np.int16(300)
        for folder, array in (("images", image), ("labels", label)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            volume = sitk.GetImageFromArray(array)
            volume.SetSpacing((0.9, 1.0, 1.7))
            sitk.WriteImage(volume, str(root / folder / f"case_{index:03}.mha"))


def peak_of_training(folder: Path, count: int, settings: tuple[str, ...] = SETTINGS) -> int:
    """Bytes that a training on so many made-up cases needs at most, in a process of its own."""
    data, job = folder / f"data {count}", JobFolder(folder / f"job {count}")
    write_cases(data, count)
    config: TrainConfig = parse_config(TrainConfig, with_settings({"data": {"data_dir": str(data)}}, [*settings]))
    job.create(config)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **STEADY}
    done = subprocess.run(
        [sys.executable, str(MEASURED_RUN), str(job.path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (job.model / "model.json").exists()
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells a process's memory otherwise")
def test_does_not_grow_with_the_number_of_cases(tmp_path: Path) -> None:
    few, many = (peak_of_training(tmp_path, count) for count in (FEW, MANY))
    each = (many - few) / (MANY - FEW)
    print(f"{few / 1e6:.0f} MB with {FEW} cases, {many / 1e6:.0f} MB with {MANY}: {each / 1e3:.1f} kB a case")
    assert each < 100e3  # with all volumes in memory it is 170 kB; 20 kB are the intensities that planning looks at
