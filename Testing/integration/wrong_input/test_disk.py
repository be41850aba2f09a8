"""No room on the disk, or no right to write: a message, nothing half-written, and the job says that it failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Words = list[str | Path]


needs_a_limit = pytest.mark.skipif(
    sys.platform != "linux", reason="the limit of a file's size, which stands for a disk"
)
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from MedSegTrainerLib.cli import main
main(sys.argv[2:])
"""
WRITING = """
import resource, sys
from pathlib import Path
import numpy as np, SimpleITK as sitk
from MedSegTrainerLib.data.label_maps import write_label_map
from MedSegTrainerLib.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
noise = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 3, (40, 50, 60)).astype(np.uint8))
try:
    write_label_map(noise, Path(sys.argv[1]), [])
except StorageError as error:
    print(error)
"""


def child(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)  # against a hang


def without_room(place: Any, kilobytes: int, words: Words, says: tuple[str, ...], fails: str) -> None:
    before = place.snapshot()
    ended = child(LIMITED, str(kilobytes * 1024), *words)
    everything = ended.stdout + ended.stderr
    assert ended.returncode == 1, everything
    assert [said for said in ("Cannot write", "choose another folder", *says) if said not in ended.stderr] == []
    assert "Traceback" not in everything
    place.check_nothing_lost(before, fails)


@needs_a_limit
@pytest.mark.parametrize(("kilobytes", "what"), [(5, "cache"), (12, "weights.safetensors")])
def test_full_disk_while_training(place: Any, tiny: tuple[str, ...], kilobytes: int, what: str) -> None:
    job = place.root / "job"
    without_room(place, kilobytes, ["train", place.data, "-o", job, "--epochs", "1", *tiny], (what, "full"), "job")
    assert not (job / "model" / "model.json").exists()


@needs_a_limit
def test_full_disk_while_applying(place: Any) -> None:
    model = place.trained / "model" / "model.json"
    document = json.loads(model.read_text())
    document["plan"]["classes"][0]["terminology"] = "x" * 9000  # a header that is too large for the disk
    model.write_text(json.dumps(document))
    words = ["apply", place.trained, place.image(), "-o", place.out, "--device", "cpu"]
    without_room(place, 8, words, ("case_1.seg.nrrd", "disk"), "out/job")


@needs_a_limit
@pytest.mark.parametrize("suffix", ["seg.nrrd", "nii.gz", "mha"])
def test_label_map_is_whole_or_not_there(tmp_path: Path, suffix: str) -> None:
    ended = child(WRITING, tmp_path / f"case.{suffix}")
    assert f"case.{suffix}" in ended.stdout, ended.stderr
    assert "disk has room" in ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_output_that_may_not_be_written(check: Callable[..., None], place: Any) -> None:
    place.root.chmod(0o555)
    try:
        check(
            lambda p: ["train", p.data, "-o", p.root / "job", "--epochs", "1"],
            ("job", "not allowed", "Choose another folder"),
        )
    finally:
        place.root.chmod(0o755)
