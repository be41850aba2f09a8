"""Prepared cases on disk, in memory or on the device; made once, found again when a job is resumed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config import Auto
from MedSegTrainerLib.data.cases import Case
from MedSegTrainerLib.data.preprocess import prepare_case
from MedSegTrainerLib.data.scan import thread_count
from MedSegTrainerLib.geometry import Geometry
from MedSegTrainerLib.plan import Plan

PREPARING_VERSION = 3  # raise it when prepare_case does something else with the same plan
PREPARING_FIELDS = ("dims", "spacing", "image_size", "normalization", "classes", "ignore_label")


@dataclass(frozen=True, kw_only=True)
class CachedCase:
    """A prepared case as tensors: image float32 (C, z, y, x), label (z, y, x), locations int32 (n, 4).

    geometry: where its grid lies in the patient.
    """

    name: str
    image: torch.Tensor
    label: torch.Tensor
    locations: torch.Tensor
    geometry: Geometry


def build_cache(
    cases: Sequence[Case],
    plan: Plan,
    folder: Path,
    device: torch.device,
    on_case: Callable[[], None] = lambda: None,
    *,
    num_workers: int | Auto = "auto",
    pin_memory: bool = False,
) -> dict[str, CachedCase]:
    """Prepared cases by name; those whose files and plan have not changed since are taken from ``folder``.

    num_workers: cases that are prepared at the same time. pin_memory: cases that are kept in main memory lie where
    a GPU fetches them directly.
    """
    with atomic.storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for left_by_a_dead_process in folder.glob(".tmp-*"):
            shutil.rmtree(left_by_a_dead_process, ignore_errors=True)
        (folder / "README.txt").write_text("Preprocessed volumes. This folder may be deleted at any time.\n")

    def one(case: Case) -> CachedCase:
        place = folder / _key(case, plan)
        if not place.is_dir():
            _write(case, plan, place)
        try:
            cached = _load(case.name, place, plan.cache, device)
        except (OSError, ValueError, EOFError):  # a power loss can leave half a file in a whole folder
            shutil.rmtree(place)
            _write(case, plan, place)
            cached = _load(case.name, place, plan.cache, device)
        if pin_memory and plan.cache == "memory" and device.type == "cuda":
            cached = replace(cached, image=cached.image.pin_memory(), label=cached.label.pin_memory())
        on_case()
        return cached

    with ThreadPoolExecutor(max_workers=thread_count(num_workers)) as pool:
        return {cached.name: cached for cached in pool.map(one, cases)}


def choose_place(bytes_needed: int, device: torch.device) -> tuple[str, str]:
    """``device``, ``memory`` or ``disk`` for so many bytes of prepared volumes, and the reason."""
    gigabytes = f"{bytes_needed / 1e9:.1f} GB of prepared volumes"
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        if bytes_needed < 0.3 * free:
            return "device", f"{gigabytes} fit on the device ({free / 1e9:.0f} GB free)"
    available = available_memory()
    if bytes_needed < 0.4 * available:
        return "memory", f"{gigabytes} fit in memory ({available / 1e9:.0f} GB free)"
    return "disk", f"{gigabytes} are read from disk as needed ({available / 1e9:.0f} GB of memory free)"


def available_memory() -> int:
    """Bytes of main memory that can be used; a careful guess where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30


def _key(case: Case, plan: Plan) -> str:
    """A folder name that changes when the files of the case or the way of preparing them do."""
    files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in (*case.images, case.label)]
    values = plan.to_json()
    text = json.dumps([PREPARING_VERSION, files, {name: values[name] for name in PREPARING_FIELDS}])
    return f"{case.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _write(case: Case, plan: Plan, place: Path) -> None:
    prepared = prepare_case(case, plan)
    temporary = atomic.temporary_beside(place)
    with atomic.storage_errors(place):
        try:
            temporary.mkdir()
            for name in ("image", "label", "locations"):
                _save(temporary / f"{name}.npy", getattr(prepared, name))
            atomic.write_json(temporary / "geometry.json", asdict(prepared.geometry))
            temporary.replace(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _save(path: Path, array: np.ndarray) -> None:
    """What ``np.save`` does, but np.save says nothing where the last bytes do not fit on the disk."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(array.data)


def _load(name: str, place: Path, where: str, device: torch.device) -> CachedCase:
    # copy-on-write maps: torch wants writable memory, and nothing is ever written through them
    image, label, locations = (
        np.load(place / f"{part}.npy", mmap_mode="c" if where == "disk" else None, allow_pickle=False)
        for part in ("image", "label", "locations")
    )
    tensors = [torch.from_numpy(array) for array in (image, label, locations)]
    if where == "device":
        tensors[:2] = [tensor.to(device) for tensor in tensors[:2]]
    grid = json.loads((place / "geometry.json").read_text(encoding="utf-8"))
    geometry = Geometry(**{key: tuple(values) for key, values in grid.items()})
    return CachedCase(name=name, image=tensors[0], label=tensors[1], locations=tensors[2], geometry=geometry)
