"""Prepared cases on disk, in memory or on the device; made once, found again when a job is resumed.

On disk they take no memory: nothing of a case is open or kept between two looks at it, so that neither memory nor
open files grow with the number of cases.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from MedSegTrainerLib import atomic
from MedSegTrainerLib.cache_folder import KINDS, discard, hold, is_whole, mark_used, release
from MedSegTrainerLib.classes import unknown_classes
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import Auto
from MedSegTrainerLib.data.checks.scan import thread_count
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.samples.preprocess import PreparedCase, prepare_case
from MedSegTrainerLib.data.shared_cases import SharedCases
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerLib.hardware.main_memory import available_memory
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.read import file_stamps

logger = logging.getLogger(__name__)

PREPARING_VERSION = 4  # raise it when prepare_case does something else with the same plan
KNOWN_PARTS_VERSION = 1  # the same of labels with voxels that nobody labelled
PREPARING_FIELDS = ("dims", "spacing", "image_size", "normalization", "classes", "ignore_label")
CASE_FILES = KINDS["prepared"]
# what reading says where a power loss left half a file, or somebody none
NOT_WHOLE = (OSError, ValueError, EOFError, TypeError, AttributeError, DataError)


class StoredCase(Protocol):
    """A prepared case, wherever it is kept: image float32 (C, z, y, x), label (z, y, x), locations int32 (n, 4), as in
    ``PreparedCase``.

    geometry: where its grid lies in the patient; it tells the size without a look at the arrays. unknown: indices of
    the classes that nobody looked for.
    """

    @property
    def name(self) -> str: ...
    @property
    def image(self) -> torch.Tensor: ...
    @property
    def label(self) -> torch.Tensor: ...
    @property
    def locations(self) -> torch.Tensor: ...
    @property
    def geometry(self) -> Geometry: ...
    @property
    def unknown(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, kw_only=True)
class CachedCase:
    """A prepared case whose tensors are in memory or on the device."""

    name: str
    image: torch.Tensor
    label: torch.Tensor
    locations: torch.Tensor
    geometry: Geometry
    unknown: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a prepared case lies. ``prepare`` writes it there; it raises DataError and StorageError."""

    path: Path
    prepare: Callable[[], None]
    is_shared: bool = False

    def prepare_anew(self) -> None:
        """In place of what is damaged there."""
        if self.is_shared:
            discard(self.path)
        self.prepare()

    def is_there(self) -> bool:
        """Whether it was prepared before; what others share is looked at in full, and held."""
        if not self.is_shared:
            return self.path.is_dir()
        hold(self.path)
        return is_whole(self.path)


@dataclass(frozen=True, kw_only=True)
class MappedCase:
    """A prepared case on disk: each look at an array maps its file anew, and closes it when the array is let go.

    The tensors are the caller's own: what is written to them does not reach the disk. Where its folder was deleted in
    the meantime it is prepared again, which raises DataError and StorageError.
    """

    name: str
    place: Place
    geometry: Geometry
    unknown: tuple[int, ...] = ()

    @property
    def image(self) -> torch.Tensor:
        return self._mapped("image")

    @property
    def label(self) -> torch.Tensor:
        return self._mapped("label")

    @property
    def locations(self) -> torch.Tensor:
        return self._mapped("locations")

    def _mapped(self, part: str) -> torch.Tensor:
        path = self.place.path
        if self.place.is_shared:
            hold(path)
        try:
            return _read(path, part, mapped=True)
        except NOT_WHOLE as error:
            _log_damaged(path, error)
            self.place.prepare_anew()
            return _read(path, part, mapped=True)


def places_of(cases: Sequence[Case], plan: Plan, folder: Path, shared: SharedCases | None = None) -> list[Place]:
    """Where each case lies, prepared as the plan wants it: in the shared folder, else in the ``folder`` of the job."""
    return [_shared_place(case, plan, shared) or _own_place(case, plan, folder) for case in cases]


def build_cache(
    cases: Sequence[Case],
    plan: Plan,
    folder: Path,
    device: torch.device,
    on_case: Callable[[bool], None] = lambda is_new: None,
    *,
    num_workers: int | Auto = "auto",
    shared: SharedCases | None = None,
) -> dict[str, StoredCase]:
    """Prepared cases by name; those whose files and plan have not changed since are taken from ``folder``, or from the
    folder that is shared, where there is one.

    on_case: called after each case with whether it was prepared now. num_workers: cases that are prepared at the same
    time.
    """
    with atomic.storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)

    def one(case: Case, place: Place) -> StoredCase:
        is_new = not place.is_there()
        if is_new:
            place.prepare()
        try:
            cached = _load(case.name, place, plan.cache, device)
        except NOT_WHOLE as error:
            _log_damaged(place.path, error)
            is_new = True
            place.prepare_anew()
            cached = _load(case.name, place, plan.cache, device)
        if place.is_shared:
            mark_used(place.path)
            if not isinstance(cached, MappedCase):
                release(place.path)
        on_case(is_new)
        return replace(cached, unknown=unknown_classes(plan.class_names, case.drawn))

    with ThreadPoolExecutor(max_workers=thread_count(num_workers)) as pool:
        built = {cached.name: cached for cached in pool.map(one, cases, places_of(cases, plan, folder, shared))}
    if shared is not None:
        shared.folder.keep_within()
    return built


def open_cache(folder: Path) -> None:
    """Makes the folder, or clears away what a process that died left in it; raises StorageError."""
    with atomic.storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in () if folder.is_symlink() else folder.iterdir():
            if atomic.TEMPORARY.match(path.name) and path.is_dir() and not path.is_symlink():
                _remove_unfinished(path)
        (folder / "README.txt").write_text("Preprocessed volumes. This folder may be deleted at any time.\n")


def choose_place(bytes_needed: int, device: torch.device, copies: int = 1) -> tuple[str, str]:
    """``device``, ``memory`` or ``disk`` for so many bytes of prepared volumes, and the reason.

    copies: processes on this machine of which each keeps its own.
    """
    gigabytes = f"{bytes_needed / 1e9:.1f} GB of prepared volumes"
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        if bytes_needed < 0.3 * free:
            return "device", f"{gigabytes} fit on the device ({free / 1e9:.0f} GB free)"
    available = available_memory()
    if bytes_needed * copies < 0.4 * available:
        return "memory", f"{gigabytes} fit in memory ({available / 1e9:.0f} GB free)"
    return "disk", f"{gigabytes} are read from disk as needed ({available / 1e9:.0f} GB of memory free)"


def cache_key(case: Case, plan: Plan) -> str:
    """A folder name that changes when the files of the case or the way of preparing them do."""
    files = [stamp for path in (*case.images, *case.label_files) for stamp in file_stamps(path)]
    values = plan.to_json()
    preparation = _preparation(case, plan)
    if not case.labels.is_plain:
        preparation["overlapping"], preparation["label_codes"] = case.overlapping, values["label_codes"]
        preparation["masks"] = {name: str(path) for name, path in sorted(case.masks.items())}
        preparation["regions"], preparation["ignored_value"] = dict(sorted(case.regions.items())), case.ignored_value
    if case.is_sparse:
        preparation["labelled"] = [case.labelled_slices, case.labelled_box]
    if case.segment_values:
        preparation["segment_values"] = dict(sorted(case.segment_values.items()))
    text = json.dumps([PREPARING_VERSION, files, preparation])
    return f"{case.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _preparation(case: Case, plan: Plan) -> dict[str, Any]:
    """What of the plan a prepared case follows from; in an order that the names of folders follow from."""
    values = plan.to_json()
    preparation = {name: values[name] for name in PREPARING_FIELDS}
    if plan.slice_axis != "z":  # else what earlier versions prepared is as good
        preparation["slice_axis"] = plan.slice_axis
    if plan.ignore_label is not None:
        preparation["known_parts"] = KNOWN_PARTS_VERSION
    if case.drawn is not None:
        preparation["drawn"] = sorted(case.drawn)
        preparation["label_codes"] = values["label_codes"]
    return preparation


def _own_place(case: Case, plan: Plan, folder: Path) -> Place:
    path = folder / cache_key(case, plan)
    return Place(path=path, prepare=partial(_write, case, plan, path))


def _shared_place(case: Case, plan: Plan, shared: SharedCases | None) -> Place | None:
    """None of a case that is not shared."""
    if shared is None:
        return None
    codes = plan.to_json()["label_codes"]
    follows_from = {"version": PREPARING_VERSION, "label_codes": codes, **_preparation(case, plan)}
    path = shared.entry("prepared", case, follows_from)

    def prepare() -> None:
        assert path is not None
        prepared = prepare_case(case, plan)
        shared.store(path, case, partial(_write_files, prepared))

    return None if path is None else Place(path=path, prepare=prepare, is_shared=True)


def _write(case: Case, plan: Plan, path: Path) -> None:
    """Prepares the case and writes its folder, in place of what is left of an earlier one."""
    prepared = prepare_case(case, plan)
    temporary = atomic.temporary_beside(path)
    with atomic.storage_errors(path):
        try:
            temporary.mkdir(parents=True)
            _write_files(prepared, temporary)
            shutil.rmtree(path, ignore_errors=True)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _write_files(prepared: PreparedCase, folder: Path) -> None:
    for name in ("image", "label", "locations"):
        _save(folder / f"{name}.npy", getattr(prepared, name))
    atomic.write_json(folder / "geometry.json", asdict(prepared.geometry))


def _log_damaged(path: Path, error: Exception) -> None:
    """Not the name of the case: a log is sent to strangers."""
    number = path.name.rpartition("-")[2]
    logger.warning("A prepared volume (%s) is damaged or gone, and is made again: %s", number, type(error).__name__)


def _remove_unfinished(path: Path) -> None:
    """What a process that died had written of a case; a folder with anything else in it stays."""
    for name in CASE_FILES:
        (path / name).unlink(missing_ok=True)
    with suppress(OSError):
        path.rmdir()


def _save(path: Path, array: np.ndarray) -> None:
    """What ``np.save`` does, but np.save says nothing where the last bytes do not fit on the disk."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(array.data)


def _load(name: str, place: Place, cache: str, device: torch.device) -> CachedCase | MappedCase:
    """The case, as it is kept in the end; raises one of ``NOT_WHOLE`` where a file is not."""
    path = place.path
    image, label, locations = (_read(path, part, mapped=cache == "disk") for part in ("image", "label", "locations"))
    geometry = _geometry(path / "geometry.json", tuple(label.shape))
    if cache == "disk":
        return MappedCase(name=name, place=place, geometry=geometry)
    if cache == "device":
        image, label = image.to(device), label.to(device)
    return CachedCase(name=name, image=image, label=label, locations=locations, geometry=geometry)


def _geometry(path: Path, shape: tuple[int, ...]) -> Geometry:
    values = read_json_file(path, DataError)
    lengths = {"size": 3, "spacing": 3, "origin": 3, "direction": 9}
    if not fits(values, dict[str, list[float]]) or {key: len(numbers) for key, numbers in values.items()} != lengths:
        raise DataError(f"{path} is no geometry. Remove the folder: it is made again.")
    if not fits(values["size"], list[int]) or sorted(values["size"]) != sorted(shape) or min(values["spacing"]) <= 0:
        raise DataError(f"{path} is not that of the arrays beside it. Remove the folder: it is made again.")
    return Geometry(**{key: tuple(numbers) for key, numbers in values.items()})


def _read(path: Path, part: str, *, mapped: bool) -> torch.Tensor:
    # copy-on-write maps: torch wants writable memory, and nothing is ever written through them
    return torch.from_numpy(np.load(path / f"{part}.npy", mmap_mode="c" if mapped else None, allow_pickle=False))
