"""Cores of a process: bound to some, or given the time of some by a control group."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from MedSegTrainerLib.hardware.device import usable_cores

ROOT = Path(__file__).resolve().parents[3]
ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = (
    "import torch; from MedSegTrainerLib.hardware.device import use_cores; use_cores(); print(torch.get_num_threads())"
)


def system(root: Path, groups: str, **limits: str) -> Path:
    """A file system that tells the control groups of this process, and files of limits by their places."""
    for place, text in {"proc/self/cgroup": groups, **limits}.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


class TestLimits:
    """One core, since no test can know that there are more."""

    def test_without_any(self, tmp_path: Path) -> None:
        assert usable_cores(tmp_path) == ALLOWED

    @pytest.mark.parametrize("text", ["max 100000\n", "6400000 100000\n", "", "nonsense\n"])
    def test_that_limit_nothing(self, tmp_path: Path, text: str) -> None:
        assert usable_cores(system(tmp_path, "0::/\n", **{"sys/fs/cgroup/cpu.max": text})) == ALLOWED

    @pytest.mark.parametrize("quota", [10_000, 100_000, 140_000])
    def test_of_a_container(self, tmp_path: Path, quota: int) -> None:
        assert usable_cores(system(tmp_path, "0::/\n", **{"sys/fs/cgroup/cpu.max": f"{quota} 100000\n"})) == 1

    @pytest.mark.skipif(ALLOWED < 2, reason="needs two cores")
    def test_more_than_half_a_core_is_worth_a_thread(self, tmp_path: Path) -> None:
        assert usable_cores(system(tmp_path, "0::/\n", **{"sys/fs/cgroup/cpu.max": "160000 100000\n"})) == 2

    def test_of_a_group_around_it(self, tmp_path: Path) -> None:
        files = {
            "sys/fs/cgroup/user.slice/cpu.max": "100000 100000\n",
            "sys/fs/cgroup/user.slice/me/cpu.max": "max 9\n",
        }
        assert usable_cores(system(tmp_path, "0::/user.slice/me\n", **files)) == 1

    def test_of_the_first_version(self, tmp_path: Path) -> None:
        place = "sys/fs/cgroup/cpu/docker/0a"
        files = {f"{place}/cpu.cfs_quota_us": "100000\n", f"{place}/cpu.cfs_period_us": "100000\n"}
        groups = "5:memory:/docker/0a\n4:cpu,cpuacct:/docker/0a\n"
        assert usable_cores(system(tmp_path, groups, **files)) == 1

    def test_of_the_first_version_that_limits_nothing(self, tmp_path: Path) -> None:
        files = {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}
        assert usable_cores(system(tmp_path, "4:cpu,cpuacct:/\n", **files)) == ALLOWED


@pytest.mark.parametrize(("variables", "most"), [({}, ALLOWED), ({"OMP_NUM_THREADS": "1"}, 1)])
def test_threads(variables: dict[str, str], most: int) -> None:
    """At most as many as cores, unless somebody says otherwise."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment |= {**variables, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, check=True, timeout=600
    )
    assert 1 <= int(process.stdout) <= most
