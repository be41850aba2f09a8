from MedSegTrainerUI.data.class_decisions import leave_out, merge, rename, take_back


class Item:
    def __init__(self, name, *segments):
        self.name, self.segments = name, segments or (name,)


def test_renames_every_segment_of_a_class_and_keeps_the_others():
    assert rename({"cyst": "lesion"}, Item("liver", "liver", "Leber"), "organ") == {
        "cyst": "lesion", "liver": "organ", "leber": "organ",
    }  # fmt: skip


def test_merged_classes_have_the_name_of_the_first():
    merged = merge({}, [Item("tumor"), Item("cyst", "cyst", "cysts")])
    assert merged == {"tumor": "tumor", "cyst": "tumor", "cysts": "tumor"}


def test_what_is_left_out_can_be_taken_back_under_its_own_name():
    names = leave_out({"liver": "organ"}, [Item("cyst", "cyst", "cysts")])
    assert names == {"liver": "organ", "cyst": "", "cysts": ""}
    assert take_back(names, [Item("cyst")]) == {"liver": "organ", "cysts": ""}


def test_the_given_names_stay_as_they_are():
    names = {"a": "b"}
    merge(names, [Item("x"), Item("y")])
    leave_out(names, [Item("a")])
    assert names == {"a": "b"}
