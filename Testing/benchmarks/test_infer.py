"""scripts/benchmarks/infer.py: both sides label the same volume alike, in processes of their own. No times."""

from __future__ import annotations

import argparse
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

pytest.importorskip("monai", reason="the extra 'bench' is not installed")

import bench
from benchmarks import infer
from benchmarks.infer_sides import BODY, body, full, ours, peak_bytes, theirs
from benchmarks.material import Material, prepare

from MedSegTrainerLib.errors import MedSegError

CPU = torch.device("cpu")
VOLUME = (16, 128, 128)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    prepared = prepare(None, tmp_path_factory.mktemp("infer"), CPU, bench.SMOKE_VOLUME, smoke=True)
    return replace(prepared, volume=VOLUME, plan=replace(prepared.plan, mixed_precision=False))


class TestSides:
    def test_both_find_the_same_labels(self, material: Material) -> None:
        image = full(VOLUME, 1)
        one, other = (side(material.plan, CPU, 0.5)(image) for side in (ours, theirs))
        assert one.shape == other.shape == VOLUME
        assert one.dtype == other.dtype == np.uint8
        assert len(np.unique(one)) > 2
        assert np.mean(one == other) > 0.9  # a network that learned nothing is undecided in places

    def test_a_body_lies_in_a_single_value(self) -> None:
        image = body((4, 60, 90), 1)
        assert set(np.unique(image[:, :, 0]).tolist()) == {-3}
        assert np.mean(image == -3) == pytest.approx(1 - np.pi / 4 * BODY[0] * BODY[1], abs=0.02)

    def test_peak_memory_never_falls(self) -> None:
        before = peak_bytes(CPU)
        array = np.ones(8 << 20)
        after = peak_bytes(CPU)
        assert before is not None and after is not None
        assert after > 0.99 * before  # the system counts in steps
        del array
        later = peak_bytes(CPU)
        assert later is not None and later > 0.99 * after


class TestSection:
    def test_every_row_has_times_and_memory_of_both_sides(self, material: Material) -> None:
        section = infer.section(material, argparse.Namespace(rounds=1))
        assert [row["name"] for row in section["rows"]] == ["full", "body"]
        for row in section["rows"]:
            for side in (row["ours"], row["theirs"]):
                assert len(side["times_s"]) == 1 and side["median_s"] > 0
                assert side["peak_bytes"] > side["volume_bytes"] > 0
            assert row["ratio"] == pytest.approx(row["theirs"]["median_s"] / row["ours"]["median_s"])
        empty = [row["empty"] for row in section["rows"]]
        assert empty[0] == 0 < empty[1] < section["windows"]
        console = Console(width=200, file=io.StringIO(), record=True)
        console.print(infer.show(section))
        output = console.export_text()
        assert f"{empty[1]} of {section['windows']} windows are empty" in output and "MiB peak" in output

    def test_a_side_that_ends_is_told(self, material: Material, capfd: pytest.CaptureFixture[str]) -> None:
        with infer.running("ours", material, 0.5) as side, pytest.raises(MedSegError, match="ended with code 1"):
            side.ask("no such volume")
        assert "no such volume" in capfd.readouterr().err
