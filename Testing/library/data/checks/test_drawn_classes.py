"""What is said of classes that nobody looked for in some cases, and what is not said because of them."""

from __future__ import annotations

import numpy as np

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.checks.case_scan import CaseScan, Examined
from MedSegTrainerLib.data.checks.doctor import diagnose
from MedSegTrainerLib.data.checks.drawn_classes import undrawn_classes
from MedSegTrainerLib.findings import Finding
from MedSegTrainerLib.imaging.geometry import Geometry

NAMES = {1: "jaw", 2: "larynx"}
BOTH, JAW = ("jaw", "larynx"), ("jaw",)


def scan(number: int, drawn: tuple[str, ...] | None, **voxels: int) -> CaseScan:
    """voxels: of jaw and larynx."""
    counts = {value: voxels[name] for value, name in NAMES.items() if name in voxels}
    return CaseScan(
        name=f"case_{number}", geometry=Geometry(size=(30, 20, 16), spacing=(1.0, 1.1, 2.5)),
        foreground=np.zeros((1, 1)), low=(0.0,), high=(110.0,), voxels={0: 9600 - sum(counts.values()), **counts},
        drawn=drawn,
    )  # fmt: skip


def findings(*scans: CaseScan) -> list[Finding]:
    return diagnose(Examined(scans=scans, names=NAMES))


def with_larynx(count: int, first: int = 0) -> list[CaseScan]:
    return [scan(first + index, BOTH, jaw=600, larynx=200) for index in range(count)]


def without_larynx(count: int) -> list[CaseScan]:
    return [scan(100 + index, JAW, jaw=600) for index in range(count)]


def test_in_how_many_cases_a_class_was_drawn() -> None:
    [note] = findings(*with_larynx(3), *without_larynx(9))
    assert (note.severity, note.case, note.kind) == ("note", "", "class not drawn in all cases")
    assert note.message == "larynx: drawn in 3 of 12 cases."


def test_nothing_is_said_where_all_was_drawn() -> None:
    assert findings(*with_larynx(3)) == []
    assert findings(*(scan(index, None, jaw=600, larynx=200) for index in range(3))) == []


def test_a_class_that_was_drawn_nowhere_is_an_error() -> None:
    [error] = findings(*without_larynx(4))
    assert (error.severity, error.kind) == ("error", "class that was drawn nowhere")
    assert "'larynx'" in error.message


def test_a_class_that_was_looked_for_and_never_found_is_told_as_before() -> None:
    [_, warning] = findings(*(scan(index, BOTH, jaw=600) for index in range(3)), *without_larynx(2))
    assert (warning.severity, warning.kind) == ("warning", "class without voxels")


def test_few_cases_are_those_in_which_it_was_looked_for() -> None:
    """Two of two cases are enough, two of twelve that looked for it are not."""
    assert [item.kind for item in findings(*with_larynx(2), *without_larynx(10))] == ["class not drawn in all cases"]
    absent = [scan(50 + index, BOTH, jaw=600) for index in range(10)]
    [_, warning] = findings(*with_larynx(2), *absent, *without_larynx(10))
    assert warning.message.startswith("only 2 of 12 cases (case_0, case_1) have 'larynx'")


def test_a_few_voxels_where_nobody_looked_are_no_slip() -> None:
    slip = scan(9, JAW, jaw=600, larynx=3)
    warned = {item.kind: item for item in findings(*with_larynx(6), slip) if item.severity == "warning"}
    assert set(warned) == {"voxels of a class that was not drawn"}
    assert warned["voxels of a class that was not drawn"].case == "case_9"
    looked_for = scan(9, BOTH, jaw=600, larynx=3)
    assert [item.kind for item in findings(*with_larynx(6), looked_for)] == ["class of a few voxels"]


def test_only_classes_that_were_looked_for_count_as_present() -> None:
    """So no division relies on a few voxels of a class that nobody judged in the case."""
    assert scan(9, JAW, jaw=600, larynx=3).present(NAMES) == {1}
    assert scan(9, None, jaw=600, larynx=3).present(NAMES) == {1, 2}


def test_a_case_in_which_nothing_was_drawn() -> None:
    kinds = [(item.case, item.kind) for item in findings(*with_larynx(3), scan(9, ()))]
    assert ("case_9", "case in which nothing was drawn") in kinds


def test_a_class_of_no_training_case_is_an_error() -> None:
    classes = [LabelClass(value=value, name=name, color=(1, 2, 3)) for value, name in NAMES.items()]
    assert list(undrawn_classes(classes, [*with_larynx(1), *without_larynx(3)])) == []
    [error] = undrawn_classes(classes, without_larynx(3))
    assert error.severity == "error"
    assert error.message == "'larynx' was drawn in none of the 3 training cases: nothing can be learned of it."


def test_rare_is_a_class_among_the_voxels_of_cases_that_looked_for_it() -> None:
    scans = [scan(index, BOTH, jaw=600, larynx=3) for index in range(3)]
    assert [item.kind for item in findings(*scans, *without_larynx(9))] == ["class not drawn in all cases"]
    everywhere = [scan(100 + index, BOTH, jaw=600) for index in range(9)]
    assert "rare class" in {item.kind for item in findings(*scans, *everywhere)}
