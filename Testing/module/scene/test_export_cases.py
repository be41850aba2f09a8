import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_classes import set_looked_for
from MedSegTrainerUI.scene.export_cases import MAPPING, export_cases
from MedSegTrainerUI.scene.segment_classes import find_classes

from MedSegTrainerLib.errors import DataError, StorageError

SHAPE = (6, 8, 10)


@pytest.fixture
def masks():
    numbers = np.zeros(SHAPE, int)
    numbers[1:4, 2:7, 3:8] = 1
    numbers[2:3, 3:5, 4:6] = 2
    return {"liver": numbers == 1, "tumor": numbers == 2}


@pytest.fixture
def rows(make_volume, make_segmentation, masks):
    generator = np.random.default_rng(2)
    made = []
    for name in ("CT_01", "Lüge/2"):
        volumes = tuple(
            make_volume(f"{name} {kind}", generator.integers(0, 900, SHAPE).astype(np.int16)) for kind in ("T1", "T2")
        )
        made.append(CaseRow(name=name, volumes=volumes, segmentation=make_segmentation(name, volumes[0], masks)))
    return made


def test_the_folder_says_what_is_in_it(rows, masks, tmp_path):
    seen = []
    export_cases(rows, find_classes(rows, {}), tmp_path / "job" / "data", on_case=seen.append)
    document = json.loads((tmp_path / "job" / "data" / "cases.json").read_text())
    assert document["cases"] == [
        {"name": "CT_01", "images": ["CT_01_0000.nrrd", "CT_01_0001.nrrd"], "label": "CT_01_label.nrrd"},
        {"name": "Lüge_2", "images": ["Luge_2_0000.nrrd", "Luge_2_0001.nrrd"], "label": "Luge_2_label.nrrd"},
    ]
    assert [(item["value"], item["name"]) for item in document["classes"]] == [(1, "liver"), (2, "tumor")]
    assert all(item["terminology"].count("~") == 6 and len(item["color"]) == 3 for item in document["classes"])
    assert seen == ["CT_01", "Lüge_2"]
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["data"]


def test_images_and_labels_lie_on_each_other(rows, masks, tmp_path):
    export_cases(rows, find_classes(rows, {}), tmp_path / "data")
    image, second, label = (
        sitk.ReadImage(str(tmp_path / "data" / f"CT_01_{kind}.nrrd")) for kind in ("0000", "0001", "label")
    )
    assert image.IsSameImageGeometryAs(label, 1e-9, 1e-9) and image.IsSameImageGeometryAs(second, 1e-9, 1e-9)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), slicer.util.arrayFromVolume(rows[0].volumes[0]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(second), slicer.util.arrayFromVolume(rows[0].volumes[1]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label), masks["liver"] + 2 * masks["tumor"])


def test_the_mapping_leads_back_to_the_scene(rows, tmp_path):
    classes = find_classes(rows, {"tumor": "lesion"})
    export_cases(rows, classes, tmp_path / "data")
    mapping = json.loads((tmp_path / "data" / MAPPING).read_text(encoding="utf-8"))
    case = mapping["cases"]["Lüge_2"]
    assert [slicer.mrmlScene.GetNodeByID(one) for one in case["volumes"]] == [*rows[1].volumes]
    content = slicer.mrmlScene.GetNodeByID(case["segmentation"]).GetSegmentation()
    assert {content.GetSegment(one).GetName(): name for one, name in case["segments"].items()} == {
        "liver": "liver", "tumor": "lesion",
    }  # fmt: skip
    assert mapping["classes"][1] == {"name": "lesion", "value": 2, "segments": ["tumor"]}


def test_rows_without_a_check_mark_stay_out(rows, tmp_path):
    rows = [rows[0], CaseRow(name="bare", use=False, volumes=rows[1].volumes)]
    export_cases(rows, find_classes(rows[:1], {}), tmp_path / "data")
    assert len(json.loads((tmp_path / "data" / "cases.json").read_text())["cases"]) == 1


def test_files_are_named_where_they_are(rows, tmp_path):
    files = CaseRow(
        name="F", images=(str(tmp_path / "a.nrrd"), str(tmp_path / "b.nrrd")), label=str(tmp_path / "l.nrrd"),
        segments=("spleen",),
    )  # fmt: skip
    rows = [*rows[:1], files]
    classes = find_classes(rows, {})
    export_cases(rows, classes, tmp_path / "data")
    document = json.loads((tmp_path / "data" / "cases.json").read_text())
    assert document["cases"][1] == {
        "name": "F", "images": list(files.images), "label": files.label, "drawn": ["spleen"],
    }  # fmt: skip
    assert document["cases"][0]["drawn"] == ["liver", "tumor"], "nobody looked for the spleen there"
    assert {item["name"]: item["value"] for item in document["classes"]}["spleen"] == 1
    with pytest.raises(DataError, match="F comes from a folder, and 'spleen' can be neither left out nor merged"):
        export_cases(rows, find_classes(rows, {"spleen": ""}), tmp_path / "again")


def exported(folder):
    document = json.loads((folder / "cases.json").read_text())
    labels = {
        case["name"]: sitk.GetArrayFromImage(sitk.ReadImage(str(folder / case["label"]))) for case in document["cases"]
    }
    return document, labels


def test_what_was_not_drawn_is_said_and_stays_out_of_the_label_map(rows, masks, make_segmentation, tmp_path):
    classes = find_classes(rows, {"tumor": "lesion"})
    set_looked_for(rows[1], classes[1], False)
    third = CaseRow(
        name="C", volumes=rows[0].volumes,
        segmentation=make_segmentation("C", rows[0].volumes[0], {"liver": masks["liver"], "tumor": None}),
    )  # fmt: skip
    first = replace(rows[0], volumes=rows[1].volumes)
    export_cases([first, rows[1]], classes, tmp_path / "two")
    document, labels = exported(tmp_path / "two")
    assert "ignore_label" not in document
    assert [case.get("drawn") for case in document["cases"]] == [None, ["liver"]]
    np.testing.assert_array_equal(labels["CT_01"], masks["liver"] + 2 * masks["tumor"])
    np.testing.assert_array_equal(labels["Lüge_2"], masks["liver"])
    mapping = json.loads((tmp_path / "two" / MAPPING).read_text(encoding="utf-8"))["cases"]
    assert [list(case["segments"].values()) for case in mapping.values()] == [["liver", "lesion"], ["liver"]]
    export_cases([third, rows[1]], find_classes([third, *rows[:1]], {}), tmp_path / "absent")
    assert "drawn" not in exported(tmp_path / "absent")[0]["cases"][0], "an empty segment: looked for, and absent"


def test_slices_that_are_not_done_are_ignored(rows, masks, make_segmentation, tmp_path):
    sliced = np.zeros(SHAPE, bool)
    sliced[2:4] = masks["liver"][2:4]
    row = CaseRow(
        name="S", volumes=rows[0].volumes, region="slices", axis="z",
        segmentation=make_segmentation("S", rows[0].volumes[0], {"liver": sliced, "tumor": masks["tumor"]}),
    )  # fmt: skip
    export_cases([row, rows[1]], find_classes(rows, {}), tmp_path / "data")
    document, labels = exported(tmp_path / "data")
    assert document["ignore_label"] == -1
    assert labels["S"].dtype == np.int16 and labels["Lüge_2"].dtype == np.uint8
    expected = np.full(SHAPE, -1)
    expected[2:4] = (masks["liver"] + 2 * masks["tumor"])[2:4]
    np.testing.assert_array_equal(labels["S"], expected)
    assert not (labels["Lüge_2"] < 0).any()


def test_voxels_outside_of_the_roi_are_ignored(rows, masks, make_roi, tmp_path):
    row = replace(rows[0], region="roi", roi=make_roi(rows[0].volumes[0], (2, 1, 0), (6, 5, 2)))
    export_cases([row], find_classes(rows, {}), tmp_path / "data")
    _document, labels = exported(tmp_path / "data")
    expected = np.full(SHAPE, -1)
    expected[:3, 1:6, 2:7] = (masks["liver"] + 2 * masks["tumor"])[:3, 1:6, 2:7]
    np.testing.assert_array_equal(labels["CT_01"], expected)


def test_masks_of_overlapping_classes_are_ignored_outside_of_the_roi_too(
    rows, masks, make_roi, make_segmentation, tmp_path
):
    whole = masks["liver"] | masks["tumor"]
    volume = rows[0].volumes[0]
    segmentation = make_segmentation("O", volume, {"liver": whole, "tumor": masks["tumor"]})
    row = CaseRow(
        name="O", volumes=rows[0].volumes, segmentation=segmentation, region="roi",
        roi=make_roi(volume, (2, 1, 0), (6, 5, 2)),
    )  # fmt: skip
    export_cases([row], find_classes([row], {}), tmp_path / "data", overlap="masks")
    document = json.loads((tmp_path / "data" / "cases.json").read_text())
    assert (document["ignore_label"], document["overlapping"]) == (-1, True)
    for name, drawn in (("liver", whole), ("tumor", masks["tumor"])):
        written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "data" / document["cases"][0]["masks"][name])))
        inside = np.zeros(SHAPE, bool)
        inside[:3, 1:6, 2:7] = True
        np.testing.assert_array_equal(written == -1, ~inside)
        np.testing.assert_array_equal(written > 0, drawn & inside)


def test_a_roi_that_was_removed_is_refused_and_nothing_is_written(rows, tmp_path):
    with pytest.raises(DataError, match=r"CT_01: The ROI inside of which it was drawn is gone\. Choose another"):
        export_cases([replace(rows[0], region="roi")], find_classes(rows, {}), tmp_path / "data")
    assert not list(tmp_path.glob("*data*"))


def files_row(name, folder, **known):
    return CaseRow(
        name=name, images=(str(folder / "a.nrrd"), str(folder / "b.nrrd")), label=str(folder / "l.nrrd"),
        segments=("liver", "spleen"), values=(1, 2), **known,
    )  # fmt: skip


def test_what_a_folder_says_of_its_cases_goes_with_them(rows, masks, tmp_path):
    files = [
        files_row("F", tmp_path, drawn=("spleen",), region="slices", axis="y", ignore_label=3),
        files_row("G", tmp_path, region="slices", ignore_label=3),
        files_row("H", tmp_path, region="box", box=((0, 1, 2), (3, 4, 5)), ignore_label=3),
    ]
    row = replace(rows[0], region="slices", axis="z")
    classes = find_classes([*files, row], {})
    assert {item.name: item.value for item in classes} == {"liver": 1, "spleen": 2, "tumor": 4}
    export_cases([*files, row], classes, tmp_path / "data")
    document = json.loads((tmp_path / "data" / "cases.json").read_text())
    assert document["ignore_label"] == 3
    said = [{key: case.get(key) for key in ("drawn", "labelled_slices", "labelled_box")} for case in document["cases"]]
    assert said == [
        {"drawn": ["spleen"], "labelled_slices": "y", "labelled_box": None},
        {"drawn": ["liver", "spleen"], "labelled_slices": "auto", "labelled_box": None},
        {"drawn": ["liver", "spleen"], "labelled_slices": None, "labelled_box": [[0, 1, 2], [3, 4, 5]]},
        {"drawn": ["liver", "tumor"], "labelled_slices": None, "labelled_box": None},
    ]
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "data" / "CT_01_label.nrrd")))
    assert sorted(np.unique(label)) == [0, 1, 3, 4] and (label[0] == 3).all()


@pytest.mark.parametrize("labels", [(3, 255), (-1, 3)])
def test_folders_that_differ_in_what_nobody_labelled_are_not_mixed(tmp_path, labels):
    files = [files_row(name, tmp_path, ignore_label=value) for name, value in zip("FG", labels, strict=True)]
    with pytest.raises(DataError, match=f"In F {labels[0]} is the value of voxels that nobody labelled, and in G"):
        export_cases(files, find_classes(files, {}), tmp_path / "data")


def test_a_value_that_no_label_map_of_the_scene_can_hold_is_refused(rows, tmp_path):
    files = [files_row("F", tmp_path, ignore_label=70000), replace(rows[0], region="slices", axis="z")]
    with pytest.raises(DataError, match="F comes from a folder where 70000 is the value of voxels that nobody label"):
        export_cases(files, find_classes(files, {}), tmp_path / "data")


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_written(rows, tmp_path):
    bare = CaseRow(name="bare", volumes=rows[1].volumes)
    rows[0].volumes[0].SetAndObserveImageData(None)
    with pytest.raises(DataError) as caught:
        export_cases([rows[0], bare], find_classes(rows, {}), tmp_path / "data")
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["CT_01", "bare"]
    assert not list(tmp_path.glob("*data*"))


def test_a_failure_halfway_leaves_no_folder(rows, tmp_path):
    def fill_up(name):
        if name == "Lüge_2":
            raise StorageError("the disk is full")

    with pytest.raises(StorageError):
        export_cases(rows, find_classes(rows, {}), tmp_path / "data", on_case=fill_up)
    assert not list(tmp_path.glob("*data*"))


def test_a_folder_with_something_in_it_is_not_touched(rows, tmp_path):
    (tmp_path / "data").mkdir()
    export_cases(rows, find_classes(rows, {}), tmp_path / "data")
    with pytest.raises(DataError, match="is not empty"):
        export_cases(rows, find_classes(rows, {}), tmp_path / "data")


def test_overlap_is_refused_or_settled_by_the_order(rows, make_segmentation, tmp_path):
    whole = np.zeros(SHAPE, bool)
    whole[1:4] = True
    row = CaseRow(
        name="O", volumes=rows[0].volumes,
        segmentation=make_segmentation("O", rows[0].volumes[0], {"a": whole, "b": whole & (np.arange(10) > 5)}),
    )  # fmt: skip
    classes = find_classes([row], {})
    with pytest.raises(DataError, match="O: 'a' and 'b' overlap"):
        export_cases([row], classes, tmp_path / "data", overlap="refuse")
    export_cases([row], classes, tmp_path / "data", overlap="order")
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "data" / "O_label.nrrd")))
    np.testing.assert_array_equal(label, whole * (1 + (np.arange(10) > 5)))


def test_overlapping_segments_are_a_mask_each_in_every_case(rows, make_segmentation, masks, tmp_path):
    """Also where nothing overlaps; what was not drawn has none, and what is absent an empty one."""
    volume, whole = rows[0].volumes[0], masks["liver"] | masks["tumor"]
    nothing, cyst = ~whole & whole, np.zeros(SHAPE, bool)
    cyst[5, 7, 6:] = True
    nested, bare = (
        CaseRow(name=name, volumes=rows[0].volumes, segmentation=make_segmentation(name, volume, drawn))
        for name, drawn in (
            ("N", {"liver": whole, "tumor": masks["tumor"], "cyst": cyst}),
            ("B", {"liver": masks["liver"], "tumor": None, "cyst": None}),
        )
    )
    for number, row in enumerate((nested, bare, rows[1])):
        folder = tmp_path / str(number)
        used = [nested] if row is nested else [nested, replace(row, volumes=rows[1].volumes)]
        export_cases(used, find_classes(used, {}), folder)
        document = json.loads((folder / "cases.json").read_text())
        assert document["overlapping"] is True and all("label" not in case for case in document["cases"])
        expected = {
            nested: {"liver": whole, "tumor": masks["tumor"], "cyst": cyst},
            bare: {"liver": masks["liver"], "tumor": nothing, "cyst": nothing},
            rows[1]: masks,
        }[row]
        case = document["cases"][-1]
        assert list(case["masks"]) == list(expected) and ("drawn" in case) == (row is rows[1])
        image = sitk.ReadImage(str(folder / case["images"][0]))
        for name, file in case["masks"].items():
            written = sitk.ReadImage(str(folder / file))
            np.testing.assert_array_equal(sitk.GetArrayFromImage(written) != 0, expected[name])
            assert written.IsSameImageGeometryAs(image, 1e-9, 1e-9)


def test_without_overlap_there_are_label_maps_as_ever(rows, tmp_path):
    export_cases(rows, find_classes(rows, {}), tmp_path / "data")
    document = json.loads((tmp_path / "data" / "cases.json").read_text())
    assert "overlapping" not in document
    assert all(case.keys() == {"name", "images", "label"} for case in document["cases"])


@pytest.mark.parametrize(("rows_", "classes"), [([], ["x"]), (["x"], [])])
def test_without_rows_or_classes_there_is_nothing_to_write(rows, rows_, classes, tmp_path):
    with pytest.raises(DataError, match="is chosen"):
        export_cases(rows if rows_ else [], find_classes(rows, {}) if classes else [], tmp_path / "data")


def test_the_scene_stays_as_it_is(rows, tmp_path):
    nodes = [slicer.mrmlScene.GetNthNode(index) for index in range(slicer.mrmlScene.GetNumberOfNodes())]
    before = [(node.GetID(), node.GetMTime()) for node in nodes]
    export_cases(rows, find_classes(rows, {}), tmp_path / "data")
    nodes = [slicer.mrmlScene.GetNthNode(index) for index in range(slicer.mrmlScene.GetNumberOfNodes())]
    assert [(node.GetID(), node.GetMTime()) for node in nodes] == before


def test_masks_say_where_nobody_labelled(rows, make_segmentation, masks, tmp_path):
    """In slices across z that have nothing of any class, all masks are unknown."""
    segmentation = make_segmentation("N", rows[0].volumes[0], {"liver": segmented(masks), "tumor": masks["tumor"]})
    row = replace(rows[0], segmentation=segmentation, region="slices", axis="z")
    export_cases([row], find_classes([row], {}), tmp_path / "data")
    document = json.loads((tmp_path / "data" / "cases.json").read_text())
    ignore = document["ignore_label"]
    (case,) = document["cases"]
    for name, file in case["masks"].items():
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "data" / file)))
        assert {k for k in range(SHAPE[0]) if (values[k] == ignore).all()} == {0, 4, 5}
        np.testing.assert_array_equal(values[1:4] > 0, (masks["tumor"] if name == "tumor" else segmented(masks))[1:4])


def segmented(masks):
    return masks["liver"] | masks["tumor"]
