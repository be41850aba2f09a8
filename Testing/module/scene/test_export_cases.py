import json

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from MedSegTrainerUI.scene.case_rows import CaseRow
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
    assert document["cases"][1] == {"name": "F", "images": list(files.images), "label": files.label}
    assert {item["name"]: item["value"] for item in document["classes"]}["spleen"] == 1
    with pytest.raises(DataError, match="F comes from a folder, and 'spleen' can be neither left out nor merged"):
        export_cases(rows, find_classes(rows, {"spleen": ""}), tmp_path / "again")


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
    """Also of a case where nothing overlaps; a class without a segment has none."""
    volume, whole = rows[0].volumes[0], masks["liver"] | masks["tumor"]
    nested = CaseRow(
        name="N", volumes=rows[0].volumes,
        segmentation=make_segmentation("N", volume, {"liver": whole, "tumor": masks["tumor"], "cyst": None}),
    )  # fmt: skip
    used = [nested, rows[1]]
    export_cases(used, find_classes(used, {}), tmp_path / "data")
    document = json.loads((tmp_path / "data" / "cases.json").read_text())
    assert document["overlapping"] is True and all("label" not in case for case in document["cases"])
    first, second = (case["masks"] for case in document["cases"])
    assert first == {"liver": "N_mask1.nrrd", "tumor": "N_mask2.nrrd", "cyst": "N_mask3.nrrd"}
    assert list(second) == ["liver", "tumor"]
    image = sitk.ReadImage(str(tmp_path / "data" / "N_0000.nrrd"))
    expected = {first["liver"]: whole, first["tumor"]: masks["tumor"], first["cyst"]: whole & ~whole,
                second["liver"]: masks["liver"], second["tumor"]: masks["tumor"]}  # fmt: skip
    for file, mask in expected.items():
        written = sitk.ReadImage(str(tmp_path / "data" / file))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(written) != 0, mask)
        assert file.startswith("Luge") or written.IsSameImageGeometryAs(image, 1e-9, 1e-9)


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
