from MedSegTrainerUI.data.blocking_problem import find_problem
from MedSegTrainerUI.scene.case_rows import CaseRow


class Item:
    def __init__(self, name, *segments):
        self.name, self.segments = name, segments or (name,)


class Found:
    def __init__(self, severity, message, remedy="", case="", action=""):
        self.severity, self.message, self.remedy, self.case, self.action = severity, message, remedy, case, action


def row(name, *segments, use=True):
    return CaseRow(name=name, use=use, images=(f"{name}.nii",), label=f"{name}-seg.nii", segments=segments)


def test_there_is_none():
    rows = [row("A", "liver", "tumor"), row("B", "liver"), row("C", "spleen", use=False)]
    assert find_problem(rows, [Item("liver"), Item("tumor")], []).text == ""


def test_without_rows_it_says_how_to_begin():
    assert "Add all from scene" in find_problem([], [], []).text


def test_rows_that_are_all_unused():
    assert "check mark" in find_problem([row("A", "liver", use=False)], [], []).text


def test_a_volume_without_a_segmentation_is_named():
    bare = CaseRow(name="CT_02", images=("b.nii",))
    text = find_problem([row("A", "liver"), bare], [Item("liver")], []).text
    assert text.startswith("CT_02 has no segmentation") and "Segment Editor" in text
    assert find_problem([row("A", "liver"), CaseRow(name="CT_02", use=False)], [Item("liver")], []).text == ""


def test_an_error_is_told_with_its_case_once_and_its_remedy():
    found = [Found("warning", "w"), Found("error", "The segment liver is empty.", "Paint it.", "CT_01")]
    rows, classes = [row("CT_01", "liver")], [Item("liver")]
    assert find_problem(rows, classes, found).text == "CT_01: The segment liver is empty. Paint it."
    named = [Found("error", "CT_01 is empty.", "", "CT_01")]
    assert find_problem(rows, classes, named).text == "CT_01 is empty."


def test_warnings_do_not_block():
    rows, classes = [row("A", "liver")], [Item("liver")]
    assert find_problem(rows, classes, [Found("warning", "small", case="A")]).text == ""
    problem = find_problem(rows, classes, [Found("note", "n"), Found("warning", "What is liver?", action="rename")])
    assert (problem.text, problem.blocks, problem.severity) == ("What is liver?", False, "warning")
    assert (problem.action, problem.names) == ("rename", ("liver",))


def test_when_everything_is_left_out():
    assert "no class" in find_problem([row("A", "liver")], [], []).text


def test_different_segment_names_are_both_named_and_can_be_merged():
    rows = [row("CT_01", "liver"), row("CT_02", "Segment_1")]
    problem = find_problem(rows, [Item("liver"), Item("Segment_1")], [])
    assert (problem.blocks, problem.severity, problem.action) == (False, "warning", "merge")
    for word in ("CT_01", "liver", "CT_02", "Segment_1"):
        assert word in problem.text
    assert problem.names == ("liver", "Segment_1")
    assert find_problem(rows, [Item("liver", "liver", "Segment_1")], []).text == ""


def test_cases_that_were_drawn_for_different_classes_are_no_problem_where_each_class_is_in_several():
    rows = [row(name, "anterior") for name in "AB"] + [row(name, "posterior") for name in "CD"]
    assert find_problem(rows, [Item("anterior"), Item("posterior")], []).text == ""


def test_one_common_class_is_enough():
    rows = [row("A", "liver", "tumor"), row("B", "liver", "cyst")]
    assert find_problem(rows, [Item("liver"), Item("tumor"), Item("cyst")], []).text == ""


def test_names_that_are_spelled_almost_alike():
    rows = [row("A", "liver", "Left_Kidney"), row("B", "liver", "left kidney ")]
    problem = find_problem(rows, [Item("liver"), Item("Left_Kidney"), Item("left kidney ")], [])
    assert problem.names == ("Left_Kidney", "left kidney ")
    assert find_problem([row("A", "T1", "T11")], [Item("T1"), Item("T11")], []).text == ""
