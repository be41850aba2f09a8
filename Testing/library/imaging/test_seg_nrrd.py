"""Named segments: a class is its name, whatever number or layer it has in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import read_label_map, read_label_map_onto, read_label_pair
from MedSegTrainerLib.imaging.seg_nrrd import read_header


def write(
    path: Path, label: sitk.Image, names: Sequence[tuple[str, int]], layers: Mapping[str, int] | None = None
) -> Path:
    """``label`` with a field for each name and value; ``layers`` for those that are not in the first."""
    image = sitk.Image(label)
    for index, (name, value) in enumerate(names):
        for key, text in {
            "Name": name, "LabelValue": str(value), "Layer": str((layers or {}).get(name, 0)),
            "Color": "0.2 0.4 0.6", "Tags": f"TerminologyEntry:about {name}|",
        }.items():  # fmt: skip
            image.SetMetaData(f"Segment{index}_{key}", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def array_of(path: Path, values: Mapping[str, int] | None = None) -> np.ndarray:
    image = read_label_map(path, values)
    return sitk.GetArrayFromImage(image)


@pytest.fixture
def label(oblique_case: tuple[sitk.Image, sitk.Image]) -> sitk.Image:
    return oblique_case[1]


def classes_in(path: Path) -> list[LabelClass]:
    """Those that a file names."""
    return [segment.item for segment in read_header(path)]


class TestOneFile:
    def test_values_by_name(self, label: sitk.Image, tmp_path: Path) -> None:
        path = write(tmp_path / "a.seg.nrrd", label, [("Liver", 1), ("tumor", 2)])
        expected = np.choose(sitk.GetArrayFromImage(label), [0, 7, 3])
        assert np.array_equal(array_of(path, {"liver": 7, "Tumor": 3, "else": 1}), expected)
        assert Geometry.of(read_label_map(path, {"liver": 7})).disagreements(Geometry.of(label)) == []

    def test_a_name_that_nobody_knows_goes_beyond_the_others(self, label: sitk.Image, tmp_path: Path) -> None:
        path = write(tmp_path / "a.seg.nrrd", label, [("liver", 1), ("tumor", 2)])
        assert set(np.unique(array_of(path, {"liver": 2, "vessel": 4}))) == {0, 2, 5}

    @pytest.mark.parametrize("values", [None, {"spleen": 4}])
    def test_without_a_known_name_values_stand(
        self, label: sitk.Image, tmp_path: Path, values: dict[str, int] | None
    ) -> None:
        path = write(tmp_path / "a.seg.nrrd", label, [("Segment_1", 1), ("Segment_2", 2)])
        assert np.array_equal(array_of(path, values), sitk.GetArrayFromImage(label))

    def test_layers_that_do_not_overlap(self, label: sitk.Image, tmp_path: Path) -> None:
        """Both have the value 1, each in its layer."""
        layered = sitk.Compose(sitk.Cast(label == 1, sitk.sitkUInt8), sitk.Cast(label == 2, sitk.sitkUInt8))
        path = write(tmp_path / "a.seg.nrrd", layered, [("liver", 1), ("tumor", 1)], {"tumor": 1})
        assert np.array_equal(array_of(path), sitk.GetArrayFromImage(label))
        assert np.array_equal(
            array_of(path, {"tumor": 1, "liver": 2}), np.choose(sitk.GetArrayFromImage(label), [0, 2, 1])
        )
        classes = classes_in(path)
        assert [(item.name, item.value) for item in classes] == [("liver", 1), ("tumor", 2)]

    def test_overlap_is_refused(self, label: sitk.Image, tmp_path: Path) -> None:
        layered = sitk.Compose(sitk.Cast(label > 0, sitk.sitkUInt8), sitk.Cast(label == 2, sitk.sitkUInt8))
        path = write(tmp_path / "a.seg.nrrd", layered, [("liver", 1), ("tumor", 1)], {"tumor": 1})
        count = int((sitk.GetArrayFromImage(label) == 2).sum())
        with pytest.raises(DataError, match=f"segments 'liver' and 'tumor' overlap in {count} voxels.*Subtract"):
            read_label_map(path)

    def test_one_name_twice_is_refused_where_names_count(self, label: sitk.Image, tmp_path: Path) -> None:
        path = write(tmp_path / "a.seg.nrrd", label, [("liver", 1), ("Liver", 2)])
        assert np.array_equal(array_of(path), sitk.GetArrayFromImage(label))
        with pytest.raises(DataError, match=r"several segments named Liver, liver\. Rename or merge"):
            read_label_map(path, {"liver": 5})

    def test_a_layer_that_is_not_there(self, label: sitk.Image, tmp_path: Path) -> None:
        path = write(tmp_path / "a.seg.nrrd", label, [("liver", 1), ("tumor", 2)], {"tumor": 3})
        with pytest.raises(DataError, match="segment 'tumor' lies in layer 3 of 1"):
            read_label_map(path, {"liver": 5})

    def test_a_value_that_is_no_number(self, label: sitk.Image, tmp_path: Path) -> None:
        image = sitk.Image(label)
        image.SetMetaData("Segment0_LabelValue", "one")
        sitk.WriteImage(image, str(tmp_path / "a.seg.nrrd"))
        with pytest.raises(DataError, match=r"its segments cannot be read: .*'one'"):
            read_label_map(tmp_path / "a.seg.nrrd")


class TestOldSlicer:
    """3D Slicer before 4.11 wrote neither LabelValue nor Layer: a layer of 0 and 1 for each segment, in their order."""

    def write(self, path: Path, image: sitk.Image, names: Sequence[str]) -> Path:
        image = sitk.Image(image)
        for index, name in enumerate(names):
            image.SetMetaData(f"Segment{index}_ID", f"Segment_{index}")
            image.SetMetaData(f"Segment{index}_Name", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(path))
        return path

    def test_layers(self, label: sitk.Image, tmp_path: Path) -> None:
        masks = [sitk.Cast(label == value, sitk.sitkUInt8) for value in (1, 2)]
        path = self.write(tmp_path / "a.seg.nrrd", sitk.Compose(*masks), ["liver", "tumor"])
        assert [(item.name, item.value) for item in classes_in(path)] == [
            ("liver", 1), ("tumor", 2),
        ]  # fmt: skip
        assert np.array_equal(array_of(path), sitk.GetArrayFromImage(label))
        assert np.array_equal(
            array_of(path, {"liver": 4, "tumor": 9}), np.choose(sitk.GetArrayFromImage(label), [0, 4, 9])
        )

    def test_a_single_segment(self, label: sitk.Image, tmp_path: Path) -> None:
        path = self.write(tmp_path / "a.seg.nrrd", sitk.Cast(label > 0, sitk.sitkUInt8), ["liver"])
        assert [(item.name, item.value) for item in classes_in(path)] == [("liver", 1)]
        assert np.array_equal(array_of(path, {"liver": 3}), 3 * (sitk.GetArrayFromImage(label) > 0))

    def test_names_without_values_in_one_layer_say_nothing(self, label: sitk.Image, tmp_path: Path) -> None:
        path = self.write(tmp_path / "a.seg.nrrd", label, ["liver", "tumor"])
        assert classes_in(path) == []
        assert np.array_equal(array_of(path), sitk.GetArrayFromImage(label))

    def test_beside_those_of_a_new_one(self, label: sitk.Image, tmp_path: Path) -> None:
        masks = [sitk.Cast(label == value, sitk.sitkUInt8) for value in (2, 1)]
        for name in ("a", "b", "c"):
            (tmp_path / "images").mkdir(exist_ok=True)
            sitk.WriteImage(label, str(tmp_path / "images" / f"{name}.nrrd"))
            write(tmp_path / "labels" / f"{name}.seg.nrrd", label, [("liver", 1), ("tumor", 2)])
        old = self.write(tmp_path / "labels" / "c.seg.nrrd", sitk.Compose(*masks), ["Tumor", "Liver"])
        dataset = find_cases(tmp_path)
        assert dataset.label_names == {1: "liver", 2: "tumor"}
        case = next(case for case in dataset.cases if case.label == old)
        assert np.array_equal(array_of(old, case.segment_values), sitk.GetArrayFromImage(label))


class TestCropped:
    def test_gets_its_empty_voxels_back(self, label: sitk.Image, tmp_path: Path) -> None:
        path = write(tmp_path / "a.seg.nrrd", label[3:15, 2:11, 1:8], [("liver", 1), ("tumor", 2)])
        loaded = read_label_map_onto(path, label)
        assert Geometry.of(loaded) == Geometry.of(label)
        assert np.array_equal(sitk.GetArrayViewFromImage(loaded), sitk.GetArrayViewFromImage(label))
        whole = write(tmp_path / "b.seg.nrrd", label, [("liver", 1), ("tumor", 2)])
        prediction, reference = read_label_pair(whole, path)
        assert np.array_equal(sitk.GetArrayViewFromImage(prediction), sitk.GetArrayViewFromImage(reference))

    def test_stays_where_it_does_not_belong(self, label: sitk.Image, tmp_path: Path) -> None:
        part = label[3:15, 2:11, 1:8]
        part.SetOrigin((np.array(part.GetOrigin()) + 0.4).tolist())
        path = write(tmp_path / "a.seg.nrrd", part, [("liver", 1)])
        assert read_label_map_onto(path, label).GetSize() == part.GetSize()

    def test_labels_beyond_the_image_are_not_lost_unseen(self, label: sitk.Image, tmp_path: Path) -> None:
        path = write(tmp_path / "a.seg.nrrd", label, [("liver", 1)])
        assert read_label_map_onto(path, label[:8]).GetSize() == label.GetSize()
        empty = write(tmp_path / "b.seg.nrrd", label, [("liver", 1)])
        assert read_label_map_onto(empty, label[1:16]).GetSize() == label[1:16].GetSize()


class TestDataSet:
    def folder(self, root: Path, label: sitk.Image, cases: Mapping[str, Sequence[tuple[str, int]]]) -> Path:
        (root / "images").mkdir(parents=True)
        for name, names in cases.items():
            sitk.WriteImage(label, str(root / "images" / f"{name}.nrrd"))
            suffix = "seg.nrrd" if names else "nii.gz"
            write(root / "labels" / f"{name}.{suffix}", label, names)
        return root

    def test_most_cases_decide_the_values(self, label: sitk.Image, tmp_path: Path) -> None:
        most = [("liver", 2), ("tumor", 1)]
        root = self.folder(
            tmp_path, label, {"a": [("Tumor", 2), ("liver", 1)], "b": most, "c": most, "d": [("cyst", 2)]}
        )
        dataset = find_cases(root)
        assert dataset.label_names == {1: "Tumor", 2: "liver", 3: "cyst"}
        values = {case.name: case.segment_values for case in dataset.cases}
        assert values["a"] == {"Tumor": 1, "liver": 2} and values["d"] == {"cyst": 3}
        read = read_label_map(dataset.cases[0].label, dataset.cases[0].segment_values)
        assert np.array_equal(sitk.GetArrayViewFromImage(read), np.choose(sitk.GetArrayFromImage(label), [0, 2, 1]))
        assert dataset.looks["cyst"] == LabelClass(
            value=3, name="cyst", color=(51, 102, 153), terminology="about cyst"
        )  # fmt: skip

    def test_the_list_of_the_data_set_decides(self, label: sitk.Image, tmp_path: Path) -> None:
        root = self.folder(tmp_path, label, {"a": [("liver", 1), ("tumor", 2)]})
        (root / "dataset.json").write_text('{"labels": {"liver": 5, "tumor": 6}}')
        dataset = find_cases(root)
        assert dataset.label_names == {5: "liver", 6: "tumor"}
        assert dataset.cases[0].segment_values == {"liver": 5, "tumor": 6}

    def test_names_that_nobody_gave_do_not_count_against_the_list(self, label: sitk.Image, tmp_path: Path) -> None:
        root = self.folder(tmp_path, label, {"a": [("Segment_1", 1), ("Segment_2", 2)]})
        (root / "dataset.json").write_text('{"labels": {"liver": 1, "tumor": 2}}')
        dataset = find_cases(root)
        assert dataset.label_names == {1: "liver", 2: "tumor"}
        assert dataset.cases[0].segment_values == {}

    def test_label_maps_without_names_beside_differing_ones(self, label: sitk.Image, tmp_path: Path) -> None:
        root = self.folder(tmp_path, label, {"a": [("liver", 1)], "b": [("liver", 2)], "c": []})
        with pytest.raises(DataError, match=r"'liver' has different values in the cases, and 1 label maps .* \(c\)"):
            find_cases(root)

    def test_label_maps_without_names_beside_equal_ones(self, label: sitk.Image, tmp_path: Path) -> None:
        root = self.folder(tmp_path, label, {"a": [("liver", 1), ("tumor", 2)], "c": []})
        assert find_cases(root).label_names == {1: "liver", 2: "tumor"}
