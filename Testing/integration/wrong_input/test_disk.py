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
ROOM = 30_000  # bytes: the job's own files fit, an enlarged image and the weights do not
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from MedSegTrainerLib.cli.main import main
main(sys.argv[2:])
"""
WRITING = """
import resource, sys
from pathlib import Path
import numpy as np, SimpleITK as sitk
from MedSegTrainerLib.imaging.label_maps import write_label_map
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


def without_room(place: Any, words: Words, says: tuple[str, ...], fails: str, writes: tuple[str, ...] = ()) -> None:
    before = place.snapshot()
    ended = child(LIMITED, str(ROOM), *words)
    everything = ended.stdout + ended.stderr
    assert ended.returncode == 1, everything
    assert [said for said in ("Cannot write", "choose another folder", *says) if said not in ended.stderr] == [], (
        everything
    )
    assert "Traceback" not in everything
    place.check_nothing_lost(before, fails, writes)


@needs_a_limit
@pytest.mark.parametrize(("enlarged", "what"), [(2, "cache"), (1, "weights.safetensors")])
def test_full_disk_while_training(place: Any, tiny: tuple[str, ...], enlarged: int, what: str) -> None:
    for path in (*place.data.glob("images/*"), *place.data.glob("labels/*")):
        place.change(path, lambda array: array.repeat(enlarged, 0).repeat(enlarged, 1).repeat(enlarged, 2))
    job = place.root / "job"
    without_room(place, ["train", place.data, "-o", job, "--epochs", "1", *tiny], (what, "full"), "job")
    assert (job / "cache").exists()
    assert not (job / "model" / "model.json").exists()


@needs_a_limit
def test_full_disk_while_applying(place: Any) -> None:
    model = place.trained / "model" / "model.json"
    document = json.loads(model.read_text())
    document["plan"]["classes"][0]["terminology"] = "x" * ROOM  # stands in the header, which is not compressed
    model.write_text(json.dumps(document))
    words = ["apply", place.trained, place.image(), "-o", place.out, "--device", "cpu"]
    without_room(place, words, ("case_1.seg.nrrd", "disk"), "out/job", ("out/made.jsonl",))  # the record


@needs_a_limit
@pytest.mark.parametrize("suffix", ["seg.nrrd", "nii.gz", "mha"])
def test_label_map_is_whole_or_not_there(tmp_path: Path, suffix: str) -> None:
    ended = child(WRITING, tmp_path / f"case.{suffix}")
    assert f"case.{suffix}" in ended.stdout, ended.stderr
    assert "disk has room" in ended.stdout
    assert list(tmp_path.iterdir()) == []


needs_rights = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do everything")


@needs_rights
def test_output_that_may_not_be_written(check: Callable[..., None], place: Any) -> None:
    place.root.chmod(0o555)
    try:
        check(
            lambda p: ["train", p.data, "-o", p.root / "job", "--epochs", "1"],
            ("job", "not allowed", "Choose another folder"),
        )
    finally:
        place.root.chmod(0o755)


@needs_rights
def test_data_that_may_not_be_read(check: Callable[..., None], place: Any) -> None:
    before = place.snapshot()
    images = place.data / "images"
    images.chmod(0)
    try:
        check(lambda p: ["plan", p.data], ("data/images: Permission denied", "you may use it"))
    finally:
        images.chmod(0o755)
    assert place.snapshot() == before
