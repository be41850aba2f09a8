"""Prepared once, found again, prepared anew when something changed; the same wherever it is kept."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.cache_folder import SharedFolder, clear, size_of
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.plan import LabelCode, Plan
from MedSegTrainerLib.data.case_contents import contents_of
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.samples.cache import StoredCase, build_cache, cache_key, choose_place, open_cache, places_of
from MedSegTrainerLib.data.samples.preprocess import ANYWHERE, prepare_case
from MedSegTrainerLib.data.shared_cases import SharedCases
from MedSegTrainerLib.errors import DataError, StorageError
from MedSegTrainerLib.hardware.main_memory import available_memory

CPU = torch.device("cpu")


@pytest.fixture
def plan(tiny_plan: Plan) -> Plan:
    return replace(tiny_plan, classes=(LabelClass(value=1, name="box", color=(1, 2, 3)),))


@pytest.fixture
def cases(oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> list[Case]:
    """Two cases; the second has no structure."""
    image, label = oblique_case
    made = []
    for name, mask in (("a", label), ("b", label * 0)):
        paths = tmp_path / f"{name}.nrrd", tmp_path / f"{name}_label.nrrd"
        sitk.WriteImage(image, str(paths[0]))
        sitk.WriteImage(mask, str(paths[1]))
        made.append(Case(name=name, images=(paths[0],), label=paths[1]))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "job" / "cache"


def prepared_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def mark(folder: Path) -> None:
    """Makes what is read from disk tell itself from what is prepared anew."""
    for place in prepared_folders(folder):
        np.save(place / "image.npy", np.full_like(np.load(place / "image.npy"), 77))


def is_marked(cached: StoredCase) -> bool:
    return bool((cached.image == 77).all())


class TestBuildCache:
    def test_holds_what_was_prepared(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        cached = build_cache(cases, plan, folder, CPU)
        assert list(cached) == ["a", "b"]
        for case in cases:
            expected = prepare_case(case, plan)
            assert np.array_equal(cached[case.name].image, expected.image)
            assert np.array_equal(cached[case.name].label, expected.label)
            assert np.array_equal(cached[case.name].locations, expected.locations)
        assert len(cached["a"].locations) > 0
        assert len(cached["b"].locations) == 0

    def test_the_second_time_nothing_is_prepared(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        build_cache(cases, plan, folder, CPU)
        before = prepared_folders(folder)
        mark(folder)
        again = build_cache(cases, plan, folder, CPU)
        assert all(is_marked(cached) for cached in again.values())
        assert prepared_folders(folder) == before

    def test_knows_which_classes_nobody_looked_for(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        """Voxels without class then have the number of that set, and another list is prepared anew."""
        plan = replace(plan, label_codes=(LabelCode(unknown=(1,)),))
        partly = replace(cases[0], drawn=())
        for _ in ("prepared", "found again"):
            build_cache([partly, cases[0]], plan, folder, CPU)
            assert len(prepared_folders(folder)) == 2
        for kept in ("disk", "memory"):
            [one] = build_cache([partly], replace(plan, cache=kept), folder, CPU).values()
            assert one.unknown == (1,)
            assert set(torch.unique(one.label).tolist()) == {1, 2}
        [one] = build_cache([replace(partly, drawn=("box",))], plan, folder, CPU).values()
        assert one.unknown == ()
        assert set(torch.unique(one.label).tolist()) == {0, 1}

    def test_knows_where_it_lies_in_the_patient(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        for _ in ("prepared", "found again"):
            cached = build_cache(cases, plan, folder, CPU)["a"]
            assert cached.geometry == prepare_case(cases[0], plan).geometry
            assert cached.geometry.size_zyx == tuple(cached.label.shape)

    def test_half_a_geometry_is_prepared_anew(
        self, cases: list[Case], plan: Plan, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        expected = build_cache(cases, plan, folder, CPU)["a"].geometry
        file = prepared_folders(folder)[0] / "geometry.json"
        file.write_text(file.read_text(encoding="utf-8")[:40], encoding="utf-8")
        assert build_cache(cases, plan, folder, CPU)["a"].geometry == expected
        number = file.parent.name.rpartition("-")[2]  # and not the name of the case: a log is sent to strangers
        assert caplog.messages == [f"A prepared volume ({number}) is damaged or gone, and is made again: DataError"]

    def test_counts_each_case(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        seen: list[int] = []
        for _ in range(2):
            build_cache(cases, plan, folder, CPU, seen.append)
        assert len(seen) == 4

    def test_a_changed_slice_of_a_folder_is_prepared_anew(
        self, cases: list[Case], plan: Plan, folder: Path, tmp_path: Path
    ) -> None:
        """As of a DICOM series; the folder itself looks as it did."""
        series = tmp_path / "series"
        series.mkdir()
        slices = [series / "1.dcm", series / "2.dcm"]
        for path in slices:
            path.write_bytes(bytes(128) + b"DICM")
        case = replace(cases[0], images=(series,))
        before = cache_key(case, plan)
        assert cache_key(case, plan) == before
        times = series.stat().st_mtime_ns
        os.utime(slices[1], ns=(1, slices[1].stat().st_mtime_ns + 10**9))
        assert series.stat().st_mtime_ns == times
        assert cache_key(case, plan) != before

    def test_other_values_of_segments_are_another_label_map(self, cases: list[Case], plan: Plan) -> None:
        keys = {cache_key(replace(cases[0], segment_values=v), plan) for v in ({}, {"a": 1}, {"a": 2}, {"b": 1})}
        assert len(keys) == 4

    @pytest.mark.parametrize("part", ["image", "label"])
    def test_a_changed_file_is_prepared_anew(self, cases: list[Case], plan: Plan, folder: Path, part: str) -> None:
        build_cache(cases, plan, folder, CPU)
        mark(folder)
        path = cases[0].images[0] if part == "image" else cases[0].label
        later = path.stat().st_mtime_ns + 10**9
        os.utime(path, ns=(later, later))
        again = build_cache(cases, plan, folder, CPU)
        assert (is_marked(again["a"]), is_marked(again["b"])) == (False, True)

    def test_another_way_of_preparing_is_kept_apart(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        build_cache(cases, plan, folder, CPU)
        mark(folder)
        finer = build_cache(cases, replace(plan, spacing=(2.5, 1.1, 0.4)), folder, CPU, num_workers=0)
        assert not any(is_marked(cached) for cached in finer.values())
        assert len(prepared_folders(folder)) == 4

    def test_what_nobody_labelled_is_part_of_the_way(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        build_cache(cases, plan, folder, CPU)
        again = build_cache(cases, replace(plan, ignore_label=1), folder, CPU)
        assert int(again["a"].label.min()) == -1
        assert again["a"].locations[:, 0].unique().tolist() == [ANYWHERE]

    def test_other_settings_do_not_matter(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        build_cache(cases, plan, folder, CPU)
        mark(folder)
        other = replace(plan, epochs=99, learning_rate=0.5, patch_size=(2, 4, 4), cache="disk")
        assert all(is_marked(cached) for cached in build_cache(cases, other, folder, CPU).values())

    def test_a_half_written_folder_is_ignored(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        build_cache(cases, plan, folder, CPU)
        place = prepared_folders(folder)[0]
        half = folder / f".tmp-0badcafe-{place.name}"
        place.rename(half)  # as it is when the process dies before the last step
        (half / "locations.npy").unlink()
        open_cache(folder)
        assert not half.exists()
        again = build_cache(cases, plan, folder, CPU)
        assert torch.equal(again["a"].image, torch.from_numpy(prepare_case(cases[0], plan).image))
        assert (place / "locations.npy").exists()

    def test_what_others_keep_there_stays(self, folder: Path, tmp_path: Path) -> None:
        others = [folder / ".tmp-notes", folder / ".tmp-0badcafe-a", tmp_path / "outside" / ".tmp-0badcafe-a"]
        for place in others:
            place.mkdir(parents=True)
            (place / "notes.txt").touch()
        (folder / ".tmp-00000000-link").symlink_to(others[2], target_is_directory=True)
        (others[2] / "image.npy").touch()
        open_cache(folder)
        (tmp_path / "linked").symlink_to(tmp_path / "outside", target_is_directory=True)
        open_cache(tmp_path / "linked")
        assert all((place / "notes.txt").exists() for place in others) and (others[2] / "image.npy").exists()

    def test_a_case_that_cannot_be_read_leaves_nothing(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        cases[0].label.write_bytes(b"broken")
        with pytest.raises(DataError, match=r"a_label\.nrrd cannot be read"):
            build_cache(cases[:1], plan, folder, CPU)
        assert prepared_folders(folder) == []

    def test_says_that_it_may_be_deleted(self, folder: Path) -> None:
        open_cache(folder)
        assert "may be deleted" in (folder / "README.txt").read_text(encoding="utf-8")

    def test_a_place_that_cannot_be_written(self, cases: list[Case], plan: Plan, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match="Cannot write"):
            build_cache(cases, plan, tmp_path / "file" / "cache", CPU)


class TestPlaces:
    @pytest.mark.parametrize("place", ["disk", "memory", "device"])
    def test_give_the_same_tensors(self, cases: list[Case], plan: Plan, folder: Path, place: str) -> None:
        expected = build_cache(cases, plan, folder / "expected", CPU)
        cached = build_cache(cases, replace(plan, cache=place), folder / "found", CPU)
        for name, case in expected.items():
            for part in ("image", "label", "locations"):
                first, second = getattr(case, part), getattr(cached[name], part)
                assert first.dtype == second.dtype
                assert torch.equal(first, second)

    def test_writing_to_a_tensor_does_not_change_the_disk(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        on_disk = replace(plan, cache="disk")
        build_cache(cases, on_disk, folder, CPU)["a"].image.fill_(5)
        assert not (build_cache(cases, on_disk, folder, CPU)["a"].image == 5).any()


class TestOnDisk:
    """Nothing of a case is open or in memory between two looks at it: there may be thousands of them."""

    @pytest.fixture
    def on_disk(self, cases: list[Case], plan: Plan, folder: Path) -> dict[str, StoredCase]:
        return build_cache(cases, replace(plan, cache="disk"), folder, CPU)

    @pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="the system does not list open files")
    def test_no_file_stays_open(self, cases: list[Case], plan: Plan, folder: Path) -> None:
        before = len(os.listdir("/dev/fd"))  # noqa: PTH208
        on_disk = build_cache(cases, replace(plan, cache="disk"), folder, CPU)
        looked = [float(case.image[:, 1:3].sum() + case.label.sum() + len(case.locations)) for case in on_disk.values()]
        assert len(looked) == 2
        assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208

    def test_knows_its_size_without_a_look(self, on_disk: dict[str, StoredCase], folder: Path) -> None:
        sizes = [tuple(case.label.shape) for case in on_disk.values()]
        for place in prepared_folders(folder):
            shutil.rmtree(place)  # on Windows this alone shows that nothing is open
        assert [case.geometry.size_zyx for case in on_disk.values()] == sizes

    def test_a_patch_outlives_what_it_was_cut_from(self, on_disk: dict[str, StoredCase]) -> None:
        patch = on_disk["a"].image[:, 1:3]
        assert torch.equal(patch, on_disk["a"].image.clone()[:, 1:3])

    @pytest.mark.parametrize("part", ["image", "label", "locations"])
    def test_what_was_deleted_is_prepared_again(self, on_disk: dict[str, StoredCase], folder: Path, part: str) -> None:
        """As the folder says of itself that it may be."""
        before = getattr(on_disk["a"], part).clone()
        shutil.rmtree(folder)
        assert torch.equal(getattr(on_disk["a"], part), before)
        assert len(prepared_folders(folder)) == 1

    def test_a_file_cut_short_is_prepared_again(self, on_disk: dict[str, StoredCase], folder: Path) -> None:
        before = on_disk["a"].image.clone()
        for place in prepared_folders(folder):
            whole = (place / "image.npy").read_bytes()
            (place / "image.npy").write_bytes(whole[:-100])
        assert torch.equal(on_disk["a"].image, before)

    def test_what_cannot_be_prepared_again_is_told(
        self, on_disk: dict[str, StoredCase], cases: list[Case], folder: Path
    ) -> None:
        shutil.rmtree(folder)
        cases[0].label.unlink()
        with pytest.raises(DataError, match=r"a_label\.nrrd does not exist"):
            on_disk["a"].image  # noqa: B018


class TestChoosePlace:
    def test_little_is_kept_in_memory(self) -> None:
        place, reason = choose_place(10**6, CPU)
        assert place == "memory"
        assert reason.startswith("0.0 GB of prepared volumes fit in memory (")

    def test_much_is_read_from_disk(self) -> None:
        place, reason = choose_place(10**15, CPU)
        assert place == "disk"
        assert reason.startswith("1000000.0 GB of prepared volumes are read from disk")

    def test_memory_is_that_of_a_machine(self) -> None:
        assert 2**24 < available_memory() < 2**50


def test_another_image_size_is_prepared_anew(cases: list[Case], plan: Plan, folder: Path) -> None:
    flat = replace(plan, dims=2, divisor=(1, 1, 1))
    sizes = [
        build_cache(cases, replace(flat, image_size=(n, n)), folder, CPU, num_workers=1)["a"].label.shape[1:]
        for n in (20, 30)
    ]
    assert [max(size) for size in sizes] == [20, 30]


class TestSharedByJobs:
    """Found by content in a folder of several jobs, and made again where anything of it is not whole."""

    @pytest.fixture
    def copies(self, cases: list[Case], tmp_path: Path) -> list[Case]:
        """The same contents as another job exports them."""
        (tmp_path / "other").mkdir()
        made = []
        for number, case in enumerate(cases):
            image, label = (
                shutil.copy(path, tmp_path / "other" / f"{number}{path.name}") for path in (*case.images, case.label)
            )
            made.append(replace(case, name=f"patient {number}", images=(Path(image),), label=Path(label)))
        return made

    @staticmethod
    def shared(root: Path, cases: list[Case], most_bytes: int = 10**9) -> SharedCases:
        folder = SharedFolder(root / "shared", most_bytes)
        folder.open()
        return SharedCases(folder=folder, contents=contents_of(Dataset(root=root, layout="", cases=tuple(cases))))

    @staticmethod
    def build(
        cases: list[Case], plan: Plan, tmp_path: Path, shared: SharedCases | None
    ) -> tuple[dict[str, StoredCase], list[bool]]:
        """The cases, and whether each was prepared now."""
        new: list[bool] = []
        return build_cache(cases, plan, tmp_path / "job", CPU, new.append, num_workers=1, shared=shared), new

    @pytest.mark.parametrize("kept", ["disk", "memory", "device"])
    def test_a_second_job_prepares_nothing(
        self, cases: list[Case], copies: list[Case], plan: Plan, tmp_path: Path, kept: str
    ) -> None:
        plan = replace(plan, cache=kept)
        alone, _ = self.build(cases, plan, tmp_path, None)
        first, new = self.build(cases, plan, tmp_path, self.shared(tmp_path, cases))
        second, found = self.build(copies, plan, tmp_path, self.shared(tmp_path, copies))
        assert (new, found) == ([True, True], [False, False]) and list(second) == ["patient 0", "patient 1"]
        for case, copy in zip(cases, copies, strict=True):
            for other in (first[case.name], second[copy.name]):
                assert torch.equal(other.image, alone[case.name].image)
                assert torch.equal(other.label, alone[case.name].label)
                assert torch.equal(other.locations, alone[case.name].locations)
                assert other.geometry == alone[case.name].geometry

    def test_another_plan_prepares_anew(self, cases: list[Case], plan: Plan, tmp_path: Path) -> None:
        shared = self.shared(tmp_path, cases)
        plans = [
            plan,
            replace(plan, spacing=(2.5, 1.1, 0.4)),
            replace(plan, ignore_label=1),
            replace(plan, slice_axis="x"),
        ]
        assert [self.build(cases, other, tmp_path, shared)[1] for other in plans] == [[True, True]] * 4
        assert self.build([replace(case, drawn=("box",)) for case in cases], plan, tmp_path, shared)[1] == [True, True]

    @pytest.mark.parametrize("kept", ["disk", "memory"])
    @pytest.mark.parametrize("damage", ["a bit", "the end", "a file", "the place", "another's"])
    def test_what_is_damaged_is_made_again(
        self, cases: list[Case], plan: Plan, tmp_path: Path, kept: str, damage: str
    ) -> None:
        plan, shared = replace(plan, cache=kept), self.shared(tmp_path, cases)
        first, _ = self.build(cases, plan, tmp_path, shared)
        expected = first["a"].image.clone()
        path = places_of(cases, plan, tmp_path, shared)[0].path
        content = (path / "image.npy").read_bytes()
        if damage == "a bit":
            (path / "image.npy").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        elif damage == "the end":
            (path / "image.npy").write_bytes(content[:-100])
        elif damage == "a file":
            (path / "geometry.json").unlink()
        elif damage == "the place":
            (path / "geometry.json").write_text((path / "geometry.json").read_text().replace("size", "length"))
        else:  # with checksums that fit
            (path / "image.npy").write_bytes(b"no array")
            sums = json.loads((path / "sums.json").read_text())
            sums["image.npy"] = [8, zlib.crc32(b"no array")]
            (path / "sums.json").write_text(json.dumps(sums))
        again, new = self.build(cases, plan, tmp_path, shared)
        assert new == [True, False] and torch.equal(again["a"].image, expected)
        assert self.build(cases, plan, tmp_path, shared)[1] == [False, False]

    def test_on_disk_it_stays_while_it_is_looked_at_and_is_made_again_where_it_was_taken(
        self, cases: list[Case], plan: Plan, tmp_path: Path
    ) -> None:
        plan, shared = replace(plan, cache="disk"), self.shared(tmp_path, cases, most_bytes=0)
        built, _ = self.build(cases, plan, tmp_path, shared)
        shared.folder.keep_within()
        assert all(place.is_there() for place in places_of(cases, plan, tmp_path, shared))
        expected = built["a"].image.clone()
        assert clear(shared.folder.path) > 0
        assert torch.equal(built["a"].image, expected) and size_of(shared.folder.path) > 0

    def test_in_memory_nothing_beyond_the_bound_stays(self, cases: list[Case], plan: Plan, tmp_path: Path) -> None:
        plan, shared = replace(plan, cache="memory"), self.shared(tmp_path, cases, most_bytes=0)
        built, new = self.build(cases, plan, tmp_path, shared)
        assert new == [True, True] and built["a"].image.numel() and size_of(shared.folder.path) == 0

    def test_a_case_that_cannot_be_shared_is_the_jobs_own(self, cases: list[Case], plan: Plan, tmp_path: Path) -> None:
        shared = replace(self.shared(tmp_path, cases), contents={})
        assert self.build(cases, plan, tmp_path, shared)[1] == [True, True]
        assert size_of(shared.folder.path) == 0 and len(prepared_folders(tmp_path / "job")) == 2
