"""Who trains and who validates: the same everywhere, nobody twice, nobody forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.config.split_sizes import CASES_FOR_A_TEST_SET
from MedSegTrainerLib.data.dataset import Case, Dataset, Part
from MedSegTrainerLib.data.splits.split import (
    Split,
    cover_classes,
    fold_splits,
    missing_classes,
    split_cases,
    split_dataset,
)
from MedSegTrainerLib.errors import DataError, MedSegError, UsageError

NAMES = [f"case_{index:02d}" for index in range(10)]
MANY = [f"case_{index:02d}" for index in range(40)]


def sides(split: Split) -> list[str]:
    return sorted([*split.train, *split.val, *split.test])


class TestShares:
    def test_is_the_same_on_every_machine(self) -> None:
        assert split_cases(NAMES, DataConfig(val_split=0.3)).val == ("case_04", "case_07", "case_08")
        assert split_cases(NAMES, DataConfig(val_split=0.3, seed=7)).val == ("case_04", "case_06", "case_07")

    def test_does_not_depend_on_the_order_of_the_names(self) -> None:
        assert split_cases(NAMES[::-1], DataConfig()) == split_cases(NAMES, DataConfig())

    @pytest.mark.parametrize("count", [2, 3, 10, 19, 20, 40])
    def test_every_case_stands_on_one_side(self, count: int) -> None:
        split = split_cases(MANY[:count], DataConfig())
        assert sides(split) == MANY[:count]
        assert len(split.val) >= 1
        assert len(split.train) >= 1

    def test_sizes(self) -> None:
        split = split_cases(MANY, DataConfig(train_split=0.7, val_split=0.1, test_split=0.2))
        assert (len(split.train), len(split.val), len(split.test)) == (28, 4, 8)
        assert split.reason == "28 of 40 cases train, 4 validate, 8 are kept aside for the final report"

    def test_few_cases_have_no_test_set(self) -> None:
        split = split_cases(MANY[: CASES_FOR_A_TEST_SET - 1], DataConfig(test_split=0.3))
        assert split.test == ()
        assert "with fewer than 20 cases none are kept aside" in split.reason

    def test_names_that_tell_patients(self) -> None:
        """Sessions of a BIDS data set: nobody said that they are of one patient, and the names do."""
        names = [f"sub-{patient}_ses-{session}" for patient in ("01", "02", "03") for session in (1, 2)]
        reason = split_cases(names, DataConfig()).reason
        assert 'may lie on both sides: --set "data.patient_pattern=^(sub-[A-Za-z0-9]+)" keeps' in reason
        cases = tuple(Case(name=name, images=(Path(name),), label=Path(name)) for name in names)
        dataset = Dataset(root=Path(), layout="", cases=cases)
        split = split_dataset(dataset, DataConfig(patient_pattern="^(sub-[A-Za-z0-9]+)"))
        assert {name[:6] for name in split.train}.isdisjoint(name[:6] for name in split.val)
        assert "all cases of a patient on one side (3 patients)" in split.reason and "--set" not in split.reason

    def test_a_training_share_leaves_cases_out(self) -> None:
        split = split_cases(NAMES, DataConfig(train_split=0.5, val_split=0.2, test_split=0))
        assert (len(split.train), len(split.val)) == (5, 2)

    def test_without_validation(self) -> None:
        split = split_cases(NAMES, DataConfig(val_split=0, test_split=0))
        assert (list(split.train), split.val) == (NAMES, ())

    def test_one_case_trains_and_validates(self) -> None:
        split = split_cases(["a"], DataConfig())
        assert (split.train, split.val, split.test) == (("a",), ("a",), ())
        assert "says nothing about other patients" in split.reason

    def test_all_kept_aside_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"test_split = 1 keeps all 40 cases aside"):
            split_cases(MANY, DataConfig(train_split=0, val_split=0, test_split=1))


class TestFolds:
    def test_are_the_same_on_every_machine(self) -> None:
        assert split_cases(NAMES, DataConfig(fold=1, folds=3)).val == ("case_00", "case_03", "case_04")

    @pytest.mark.parametrize("folds", [2, 3, 5, 10])
    def test_partition_the_cases(self, folds: int) -> None:
        splits = [split_cases(NAMES, DataConfig(fold=fold, folds=folds)) for fold in range(folds)]
        assert sorted(name for split in splits for name in split.val) == NAMES
        assert all(sides(split) == NAMES for split in splits)
        sizes = [len(split.val) for split in splits]
        assert max(sizes) - min(sizes) <= 1

    def test_more_folds_than_cases(self) -> None:
        with pytest.raises(UsageError, match=r"3 cases cannot make 5 folds\. Ask for at most 3"):
            split_cases(NAMES[:3], DataConfig(fold=0))


class TestFile:
    def split(self, folder: Path, document: Any, fold: int | None = None) -> Split:
        path = folder / "folds.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return split_cases(["a", "b", "c", "d"], DataConfig(split_file=str(path), fold=fold))

    def test_one_fold(self, tmp_path: Path) -> None:
        split = self.split(tmp_path, {"train": ["c", "a"], "val": ["b"], "test": ["d"]})
        assert (split.train, split.val, split.test) == (("a", "c"), ("b",), ("d",))

    def test_a_list_of_folds(self, tmp_path: Path) -> None:
        folds = [{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]
        assert self.split(tmp_path, folds).val == ("b",)
        split = self.split(tmp_path, folds, fold=1)
        assert (split.train, split.val, split.reason) == (("b",), ("a",), "fold 1 of folds.json")

    @pytest.mark.parametrize(
        "document, fold, message",
        [
            ([{"train": ["a"]}], 1, "holds 1 folds; fold 1 is not one of 0 to 0"),
            ("{", None, "is not valid JSON"),
            ([3], None, "must be an object with a 'train' list"),
            ({"val": ["a"]}, None, "must be an object with a 'train' list"),
            ({"train": ["a"], "val": "b"}, None, "'val' of fold 0 must be a list of case names, not 'b'"),
            ({"train": ["a"], "test": None}, None, "'test' of fold 0 must be a list of case names, not None"),
            ({"train": ["a", "x", "y"], "val": ["z"]}, None, "names 3 cases that the data does not have: x, y, z"),
            ({"train": ["a", "b"], "val": ["b"]}, None, "b stand in 'train' and in 'val' or 'test'"),
            ({"train": ["a", "b"], "test": ["a"]}, None, "a stand in 'train' and in 'val' or 'test'"),
            ({"train": ["a", "a"], "val": ["b"]}, None, "'train' of fold 0 names a case twice"),
            ({"train": ["a", 1]}, None, "the lists of fold 0 must hold names of cases, as text"),
            ({"train": [], "val": ["a"]}, None, "has no case to train on"),
        ],
    )
    def test_wrong_files(self, tmp_path: Path, document: Any, fold: int | None, message: str) -> None:
        with pytest.raises(MedSegError) as caught:
            self.split(tmp_path, document, fold)
        assert isinstance(caught.value, (DataError, UsageError))
        assert message in str(caught.value)
        assert "folds.json" in str(caught.value)

    def test_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="does not exist"):
            split_cases(["a"], DataConfig(split_file=str(tmp_path / "missing.json")))


def dataset(*cases: Case) -> Dataset:
    return Dataset(root=Path("data"), layout="test", cases=cases)


def case(name: str, part: Part | None = None, patient: str = "", label: Path = Path("none")) -> Case:
    return Case(name=name, images=(Path(name),), label=label, part=part, patient=patient)


class TestDataset:
    def test_names_alone_are_divided_as_before(self) -> None:
        result = split_dataset(dataset(*map(case, MANY)), DataConfig())
        assert result == split_cases(MANY, DataConfig())

    def test_image_before_every_name_does_not_count(self) -> None:
        plain = split_cases(NAMES, DataConfig())
        named = split_cases([f"image_{name}" for name in NAMES], DataConfig())
        assert named.val == tuple(f"image_{name}" for name in plain.val)

    @pytest.mark.parametrize("count", [1, 2, 3, 4])
    @pytest.mark.parametrize("split_by", ["auto", "random", "stratified", "patient"])
    def test_few_cases(self, count: int, split_by: Any) -> None:
        cases = [case(name, patient=f"p{index // 2}") for index, name in enumerate(NAMES[:count])]
        split = split_dataset(dataset(*cases), DataConfig(split_by=split_by))
        assert split.train and split.val
        assert sorted({*split.train, *split.val}) == NAMES[:count]


class TestParts:
    CASES = (case("a", "train"), case("b", "val"), case("c", "train"), case("d", "test"))

    def test_of_the_data_set(self) -> None:
        split = split_dataset(dataset(*self.CASES), DataConfig())
        assert (split.train, split.val, split.test) == (("a", "c"), ("b",), ("d",))
        assert split.reason == "the data set divides its cases: 2 train, 1 validate, 1 test"

    def test_a_fold_leaves_the_test_cases_aside(self) -> None:
        split = split_dataset(dataset(*self.CASES), DataConfig(fold=0, folds=3))
        assert split.test == ("d",)
        assert sorted([*split.train, *split.val]) == ["a", "b", "c"] and len(split.val) == 1

    def test_a_file_comes_first(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text('{"train": ["d"], "val": ["a"]}')
        split = split_dataset(dataset(*self.CASES), DataConfig(split_file=str(tmp_path / "a.json")))
        assert (split.train, split.val, split.test) == (("d",), ("a",), ())

    def test_without_validation_cases_some_are_taken(self) -> None:
        many = [case(name, "train") for name in MANY]
        split = split_dataset(dataset(*many, case("x", "test")), DataConfig(val_split=0.25))
        assert (len(split.train), len(split.val), split.test) == (30, 10, ("x",))
        assert split.reason.endswith("1 test, as the data set says")

    @pytest.mark.parametrize("part, message", [("val", "no case is there to train on"), ("test", "all cases are test")])
    def test_nothing_to_train_on(self, part: Part, message: str) -> None:
        with pytest.raises(DataError, match=message):
            split_dataset(dataset(case("a", part)), DataConfig())


class TestPatients:
    CASES = tuple(case(f"{patient}_{scan}") for patient in "abcdefgh" for scan in range(3))

    @pytest.mark.parametrize("settings", [{}, {"fold": 1, "folds": 4}, {"split_by": "stratified"}])
    def test_are_on_one_side(self, settings: dict[str, Any]) -> None:
        split = split_dataset(dataset(*self.CASES), DataConfig(patient_pattern="^(.)_", **settings))
        owners = [{name[0] for name in part} for part in (split.train, split.val, split.test)]
        assert owners[0] and owners[1]
        assert sum(map(len, owners)) == len(set.union(*owners)) == 8
        assert "all cases of a patient on one side (8 patients)" in split.reason

    def test_are_not_looked_at_where_nobody_wants_it(self) -> None:
        settings = DataConfig(patient_pattern="^(.)_", split_by="random")
        assert split_dataset(dataset(*self.CASES), settings) == split_cases([c.name for c in self.CASES], DataConfig())

    def test_are_asked_for_in_vain(self) -> None:
        with pytest.raises(UsageError, match=r"nobody says whose the cases are\. Give data\.patient_pattern"):
            split_dataset(dataset(*self.CASES), DataConfig(split_by="patient"))

    def test_too_few_for_the_folds(self) -> None:
        with pytest.raises(UsageError, match="8 patients cannot make 9 folds"):
            split_dataset(dataset(*self.CASES), DataConfig(patient_pattern="^(.)_", fold=0, folds=9))


def test_stratified_by_the_classes_in_the_label_maps(tmp_path: Path) -> None:
    """Four of 40 cases have the rare class 2; the value 9 is to be ignored."""
    cases, without = [], []
    for index, name in enumerate(MANY):
        values = np.zeros((2, 3, 4), np.uint8)
        values[0, 0] = [1, 2 if index % 10 == 3 else 1, 9 if index % 2 else 1, 0]
        np.save(tmp_path / f"{name}.npy", values)
        np.save(tmp_path / f"{name}_without.npy", np.where(values == 9, 1, values))
        cases.append(case(name, label=tmp_path / f"{name}.npy"))
        without.append(case(name, label=tmp_path / f"{name}_without.npy"))
    rare = {name for index, name in enumerate(MANY) if index % 10 == 3}
    settings = {"split_by": "stratified"}
    labelled = replace(dataset(*cases), ignore_label=9)
    split = split_dataset(labelled, DataConfig(val_split=0.25, test_split=0.25, **settings))
    assert [len(rare & set(part)) for part in (split.train, split.val, split.test)] == [2, 1, 1]
    assert [len(part) for part in (split.train, split.val, split.test)] == [20, 10, 10]
    assert split_dataset(dataset(*without), DataConfig(val_split=0.25, test_split=0.25, split_by="stratified")) == split
    folds = [split_dataset(labelled, DataConfig(fold=fold, folds=4, **settings)).val for fold in range(4)]
    assert [len(rare & set(val)) for val in folds] == [1, 1, 1, 1]
    assert sorted(name for val in folds for name in val) == MANY


class TestFoldsOfACrossValidation:
    def test_every_case_is_held_out_once_as_a_fold_of_a_training_is(self) -> None:
        data = dataset(*map(case, MANY))
        splits = fold_splits(data, DataConfig(folds=3))
        assert sorted(name for split in splits for name in split.val) == MANY
        assert splits == [split_dataset(data, DataConfig(fold=index, folds=3)) for index in range(3)]

    @pytest.mark.parametrize("count, folds", [(2, 2), (3, 3), (4, 4), (5, 5), (6, 5)])
    def test_up_to_four_cases_are_left_out_one_by_one(self, count: int, folds: int) -> None:
        assert len(fold_splits(dataset(*map(case, MANY[:count])), DataConfig())) == folds

    def test_patients_count_where_they_are_known(self) -> None:
        cases = [case(name, patient=name[-1]) for name in ("x1", "y1", "x2", "y2", "x3", "y3")]
        splits = fold_splits(dataset(*cases), DataConfig())
        assert sorted(split.val for split in splits) == [("x1", "y1"), ("x2", "y2"), ("x3", "y3")]

    def test_cases_kept_for_a_test_are_in_none(self) -> None:
        splits = fold_splits(dataset(case("a"), case("b"), case("c", part="test"), case("d", part="val")), DataConfig())
        assert [sides(split) for split in splits] == [["a", "b", "d"]] * 3

    def test_those_of_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "splits.json"
        path.write_text(json.dumps([{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]))
        splits = fold_splits(dataset(case("a"), case("b")), DataConfig(split_file=str(path)))
        assert [split.val for split in splits] == [("b",), ("a",)]

    def test_too_few(self) -> None:
        with pytest.raises(UsageError, match="6 cases cannot make 7 folds"):
            fold_splits(dataset(*map(case, MANY[:6])), DataConfig(folds=7))
        with pytest.raises(UsageError, match="has 1 cases to divide"):
            fold_splits(dataset(case("a")), DataConfig())


class TestClassesThatAPartLacks:
    def test_held_out_cases_are_exchanged(self) -> None:
        split = split_cases(NAMES, DataConfig(seed=3))
        rare = {name: frozenset({1, 2}) for name in split.train[:2]}
        covered = cover_classes(split, {name: rare.get(name, frozenset({1})) for name in NAMES})
        assert set(covered.val) & set(rare) and set(covered.train) & set(rare)
        assert sorted([*covered.train, *covered.val]) == sorted(NAMES)
        assert (len(covered.train), len(covered.val)) == (len(split.train), len(split.val))
        assert "exchanged" in covered.reason

    def test_a_division_without_any_fault_stays(self) -> None:
        split = split_cases(NAMES, DataConfig(seed=3))
        assert cover_classes(split, dict.fromkeys(NAMES, frozenset({1, 2}))) is split

    def test_a_fold_stays(self) -> None:
        split = split_cases(NAMES, DataConfig(fold=0))
        assert cover_classes(split, {name: frozenset({name in split.train}) for name in NAMES}) is split

    def test_what_is_told(self) -> None:
        split = Split(train=("a",), val=("b",), test=("c",), reason="")
        present = {"a": frozenset({1, 2}), "b": frozenset({1, 3}), "c": frozenset({1, 4})}
        unjudged, unlearned, unseen = missing_classes(split, present, {1: "liver", 2: "tumor", 3: "cyst"})
        assert "No held-out case (b) has 'tumor'" in unjudged
        assert "No training case has 'cyst'" in unlearned
        assert "Only test cases (c) have 'label 4'" in unseen
        assert not list(missing_classes(split, dict.fromkeys("abc", frozenset({1})), {1: "liver"}))


class TestTrainedBefore:
    """A training begins as a model, and must not be judged by the cases that trained it."""

    @staticmethod
    def split(count: int, trained: list[str], **settings: Any) -> Split:
        cases = tuple(Case(name=name, images=(Path(name),), label=Path(name)) for name in MANY[:count])
        return split_dataset(
            Dataset(root=Path("data"), layout="", cases=cases), DataConfig(**settings), dict.fromkeys(trained, "train")
        )

    def test_they_only_train(self) -> None:
        split = self.split(40, MANY[:30])
        assert sides(split) == MANY
        assert not {*split.val, *split.test} & set(MANY[:30])
        assert (len(split.val), len(split.test)) == (6, 4)  # ten are free: first those that validate
        assert "none of the 30 that trained the model to begin with" in split.reason

    def test_as_long_as_there_are_others_as_many_are_held_out_as_ever(self) -> None:
        plain, split = self.split(40, []), self.split(40, MANY[:20])
        assert (len(split.val), len(split.test)) == (len(plain.val), len(plain.test))

    @pytest.mark.parametrize("by", ["random", "stratified"])
    def test_a_single_free_case_validates(self, by: str) -> None:
        split = self.split(5, MANY[:4], split_by=by)
        assert split.val == (MANY[4],) and split.train == tuple(MANY[:4])

    def test_where_all_trained_it_is_as_ever(self) -> None:
        assert self.split(10, MANY[:10]) == self.split(10, [])

    def test_a_fold_is_what_somebody_wants(self) -> None:
        assert self.split(10, MANY[:9], fold=1) == self.split(10, [], fold=1)

    def test_covering_classes_does_not_hold_them_out(self) -> None:
        split = self.split(10, MANY[:8])
        present = {name: frozenset({1, 2} if name in MANY[:8] else {1}) for name in MANY[:10]}
        assert not set(cover_classes(split, present).val) & set(MANY[:8])


class TestHeldOutBefore:
    """Cases that were held out when the model to begin with was trained stay held out, whatever is added."""

    BEFORE: ClassVar = {**dict.fromkeys("abc", "train"), **dict.fromkeys("xy", "val"), "z": "test"}

    def split(self, names: str, parts: dict[str, str] | None = None, **settings: Any) -> Split:
        cases = tuple(Case(name=name, images=(Path(name),), label=Path(name)) for name in names)
        data = Dataset(root=Path("data"), layout="", cases=cases)
        return split_dataset(data, DataConfig(**settings), self.BEFORE if parts is None else parts)

    def test_they_are_held_out_and_all_others_train(self) -> None:
        split = self.split("zyxwcba")
        assert (split.train, split.val, split.test) == (("a", "b", "c", "w"), ("x", "y"), ("z",))
        assert split.reason == (
            "2 of 7 cases validate, 1 are kept aside for the final report, as they were held out when the model to "
            "begin with was trained; 4 train, 1 of them new"
        )

    def test_classes_exchange_none_of_them(self) -> None:
        split = self.split("abcxy")
        present = {name: frozenset({1, 2} if name == "x" else {1}) for name in "abcxy"}
        assert cover_classes(split, present) == split

    def test_where_the_validation_cases_are_gone_those_kept_aside_validate(self) -> None:
        split = self.split("abz")
        assert (split.val, split.test) == (("z",), ())

    @pytest.mark.parametrize("names", ["abcuvw", "xyz"])
    def test_where_none_is_there_or_nothing_would_train_chance_divides(self, names: str) -> None:
        parts = {name: part for name, part in self.BEFORE.items() if part == "train"}
        assert self.split(names) == self.split(names, parts)

    @pytest.mark.parametrize("settings", [{"fold": 0, "folds": 2}, {"val_split": 0.0}, {"train_split": 0.5}])
    def test_who_divides_by_hand_is_obeyed(self, settings: dict[str, Any]) -> None:
        parts = {name: part for name, part in self.BEFORE.items() if part == "train"}
        assert self.split("abcxyz", **settings) == self.split("abcxyz", parts, **settings)

    def test_new_cases_of_a_patient_who_was_held_out_are_too(self) -> None:
        parts = {"p1_a": "train", "p2_a": "val", "p3_a": "train", "p3_b": "val"}
        names = [*parts, "p1_b", "p2_b", "p4_a"]
        cases = tuple(Case(name=name, images=(Path(name),), label=Path(name)) for name in names)
        data = Dataset(root=Path("data"), layout="", cases=cases)
        split = split_dataset(data, DataConfig(patient_pattern="^(p[0-9])"), parts)
        assert split.val == ("p2_a", "p2_b", "p3_b") and split.train == ("p1_a", "p1_b", "p3_a", "p4_a")

    def test_what_the_data_set_keeps_aside_stays_there(self) -> None:
        cases = [case(name) for name in "abxz"] + [case("t", "test")]
        split = split_dataset(dataset(*cases), DataConfig(), self.BEFORE)
        assert (split.train, split.val, split.test) == (("a", "b"), ("x",), ("t", "z"))

    def test_what_the_data_set_divides_is_divided_so(self) -> None:
        cases = [case("a"), case("x"), case("v", "val")]
        assert split_dataset(dataset(*cases), DataConfig(), self.BEFORE).val == ("v",)
