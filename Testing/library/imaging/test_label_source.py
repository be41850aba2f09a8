"""The labels of a case in every form that there are: all become the same label map, or the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.class_bits import IGNORED
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_components import component_count
from MedSegTrainerLib.imaging.label_source import (
    LabelSource,
    overlapping_pairs,
    place_labels,
    read_labels,
    read_pair,
)

NUMBERS = {"organ": 1, "tumor": 2}
IGNORE = 9


@pytest.fixture
def organ(oblique_geometry: Geometry) -> np.ndarray:
    mask = np.zeros(oblique_geometry.size_zyx, np.uint8)
    mask[2:7, 3:10, 4:14] = 1
    return mask


@pytest.fixture
def tumor(oblique_geometry: Geometry) -> np.ndarray:
    """Partly outside of the organ."""
    mask = np.zeros(oblique_geometry.size_zyx, np.uint8)
    mask[3:5, 8:12, 6:9] = 1
    return mask


@pytest.fixture
def bits(organ: np.ndarray, tumor: np.ndarray) -> np.ndarray:
    return organ.astype(np.int32) + 2 * tumor


def write(array: np.ndarray, geometry: Geometry, path: Path) -> Path:
    sitk.WriteImage(geometry.place(array), str(path))
    return path


def array_of(source: LabelSource) -> np.ndarray:
    return sitk.GetArrayFromImage(read_labels(source))


def write_segments(path: Path, geometry: Geometry, layers: list[np.ndarray], names: list[str]) -> Path:
    """A segment of value 1 in each layer, as an older 3D Slicer wrote it."""
    image = sitk.Compose([geometry.place(layer) for layer in layers]) if len(layers) > 1 else geometry.place(layers[0])
    for index, name in enumerate(names):
        for key, text in {"Name": name, "LabelValue": "1", "Layer": str(index)}.items():
            image.SetMetaData(f"Segment{index}_{key}", text)
    sitk.WriteImage(image, str(path))
    return path


class TestForms:
    def test_masks(
        self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, bits: np.ndarray, tmp_path: Path
    ) -> None:
        masks = {
            "tumor": write(tumor * 255, oblique_geometry, tmp_path / "t.nrrd"),
            "organ": write(organ, oblique_geometry, tmp_path / "o.nii.gz"),
        }
        source = LabelSource(path=masks["tumor"], masks=masks, numbers=NUMBERS, overlapping=True)
        assert (array_of(source) == bits).all()
        assert source.files == (masks["tumor"], masks["organ"])

    def test_regions_of_values(self, oblique_geometry: Geometry, bits: np.ndarray, tmp_path: Path) -> None:
        values = np.choose(bits, [0, 4, 2, 7]).astype(np.int16)
        source = LabelSource(
            path=write(values, oblique_geometry, tmp_path / "a.nii.gz"),
            numbers=NUMBERS, regions={"organ": (4, 7), "tumor": (2, 7)}, overlapping=True,
        )  # fmt: skip
        assert (array_of(source) == bits).all()

    @pytest.mark.parametrize("suffix", ["nii.gz", "mha", "nrrd", "npy"])
    def test_a_channel_for_each_class(
        self, suffix: str, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, bits: np.ndarray,
        tmp_path: Path,
    ) -> None:  # fmt: skip
        path = tmp_path / f"a.{suffix}"
        if suffix == "npy":
            np.save(path, np.stack([organ, tumor]))
        elif suffix == "nrrd":
            sitk.WriteImage(sitk.Compose([oblique_geometry.place(side) for side in (organ, tumor)]), str(path))
        else:
            sitk.WriteImage(sitk.JoinSeries([oblique_geometry.place(side) for side in (organ, tumor)]), str(path))
        source = LabelSource(path=path, numbers=NUMBERS, overlapping=True)
        assert component_count(path) == 2
        assert (array_of(source) == bits).all()
        placed = place_labels(source, oblique_geometry.place(organ), None).image
        assert Geometry.of(placed).disagreements(oblique_geometry) == []

    def test_segments_in_layers(
        self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, bits: np.ndarray, tmp_path: Path
    ) -> None:
        path = write_segments(tmp_path / "a.seg.nrrd", oblique_geometry, [tumor, organ], ["Tumor", "organ"])
        assert (array_of(LabelSource(path=path, numbers=NUMBERS, overlapping=True)) == bits).all()

    def test_a_label_map_has_one_class_a_voxel(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path
    ) -> None:
        path = write(organ * 2, oblique_geometry, tmp_path / "a.nrrd")
        assert set(np.unique(array_of(LabelSource(path=path, numbers=NUMBERS, overlapping=True)))) == {0, 0b10}

    def test_a_plain_label_map_stays_as_it_is(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path
    ) -> None:
        path = write(organ * 77, oblique_geometry, tmp_path / "a.nrrd")
        assert (array_of(LabelSource(path=path)) == organ.astype(np.int32) * 77).all()


class TestNotLabelled:
    def test_in_a_mask(self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, tmp_path: Path) -> None:
        unknown = tumor.copy()
        unknown[0] = IGNORE
        masks = {
            "organ": write(organ, oblique_geometry, tmp_path / "o.nrrd"),
            "tumor": write(unknown, oblique_geometry, tmp_path / "t.nrrd"),
        }
        source = LabelSource(
            path=masks["organ"], masks=masks, numbers=NUMBERS, overlapping=True, ignored_value=IGNORE
        )  # fmt: skip
        array = array_of(source)
        assert (array[0] == IGNORED).all()
        assert set(np.unique(array[1:])) == {0, 1, 2, 3}

    def test_in_regions(self, oblique_geometry: Geometry, bits: np.ndarray, tmp_path: Path) -> None:
        bits[:, 0] = IGNORE
        source = LabelSource(
            path=write(bits.astype(np.int16), oblique_geometry, tmp_path / "a.nrrd"),
            numbers=NUMBERS, regions={"organ": (1, 3), "tumor": (2, 3)}, overlapping=True, ignored_value=IGNORE,
        )  # fmt: skip
        assert (array_of(source)[:, 0] == IGNORED).all()

    def test_in_layers(self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, tmp_path: Path) -> None:
        tumor[0] = IGNORE
        path = write_segments(tmp_path / "a.seg.nrrd", oblique_geometry, [organ, tumor], ["organ", "tumor"])
        source = LabelSource(path=path, numbers=NUMBERS, overlapping=True, ignored_value=IGNORE)
        assert (array_of(source)[0] == IGNORED).all()


class TestOverlap:
    def test_is_counted_by_pairs(
        self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, tmp_path: Path
    ) -> None:
        path = write_segments(tmp_path / "a.seg.nrrd", oblique_geometry, [organ, tumor], ["organ", "tumor"])
        both = int((organ & tumor).sum())
        assert both > 0
        assert overlapping_pairs(LabelSource(path=path, numbers=NUMBERS)) == {("organ", "tumor"): both}

    def test_none(self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path) -> None:
        rest = 1 - organ
        path = write_segments(tmp_path / "a.seg.nrrd", oblique_geometry, [organ, rest], ["organ", "tumor"])
        assert overlapping_pairs(LabelSource(path=path, numbers=NUMBERS)) == {}

    def test_where_there_must_be_none(
        self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, tmp_path: Path
    ) -> None:
        masks = {
            "organ": write(organ, oblique_geometry, tmp_path / "o.nrrd"),
            "tumor": write(tumor, oblique_geometry, tmp_path / "t.nrrd"),
        }
        source = LabelSource(path=masks["organ"], masks=masks, numbers=NUMBERS)
        with pytest.raises(DataError, match=r"'organ' and 'tumor' overlap in 12 voxels.*overlapping=true"):
            read_labels(source)

    def test_without_overlap_masks_are_a_label_map(
        self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, tmp_path: Path
    ) -> None:
        masks = {
            "organ": write(organ & ~tumor, oblique_geometry, tmp_path / "o.nrrd"),
            "tumor": write(tumor, oblique_geometry, tmp_path / "t.nrrd"),
        }
        source = LabelSource(path=masks["organ"], masks=masks, numbers={"organ": 40, "tumor": 31})
        assert set(np.unique(array_of(source))) == {0, 31, 40}


class TestRefused:
    def test_channels_of_more_than_one_value(
        self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, tmp_path: Path
    ) -> None:
        tumor[5] = 2
        path = tmp_path / "a.nii.gz"
        sitk.WriteImage(sitk.JoinSeries([oblique_geometry.place(side) for side in (organ, tumor)]), str(path))
        with pytest.raises(DataError, match="channel 2 has other values"):
            read_labels(LabelSource(path=path, numbers=NUMBERS, overlapping=True))

    def test_values_of_no_region(self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path) -> None:
        path = write(organ * 5, oblique_geometry, tmp_path / "a.nrrd")
        with pytest.raises(DataError, match="label values 5 belong to no class"):
            read_labels(LabelSource(path=path, numbers=NUMBERS, regions={"organ": (1,)}, overlapping=True))

    def test_a_segment_of_another_name(
        self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, tmp_path: Path
    ) -> None:
        path = write_segments(tmp_path / "a.seg.nrrd", oblique_geometry, [organ, tumor], ["organ", "cyst"])
        with pytest.raises(DataError, match=r"'cyst' is none of the classes \(organ, tumor\)"):
            read_labels(LabelSource(path=path, numbers=NUMBERS, overlapping=True))

    def test_two_segments_of_one_name(
        self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, tmp_path: Path
    ) -> None:
        path = write_segments(tmp_path / "a.seg.nrrd", oblique_geometry, [organ, tumor], ["organ", "organ"])
        with pytest.raises(DataError, match="several segments named organ"):
            read_labels(LabelSource(path=path, numbers=NUMBERS, overlapping=True))

    def test_masks_on_other_grids_are_given_back(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path
    ) -> None:
        """Whoever reads them compares the grids and says what to do."""
        masks = {
            "organ": write(organ, oblique_geometry, tmp_path / "o.nrrd"),
            "tumor": write(organ[:-1], Geometry(size=(17, 13, 8), spacing=(3, 3, 3)), tmp_path / "t.nrrd"),
        }
        source = LabelSource(path=masks["organ"], masks=masks, numbers=NUMBERS, overlapping=True)
        placed = place_labels(source, oblique_geometry.place(organ), None).image
        assert Geometry.of(placed).disagreements(oblique_geometry)


def test_a_file_that_is_none_has_one_component(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"nothing")
    assert component_count(tmp_path / "a.nii.gz") == 1
    assert component_count(tmp_path / "b.nrrd") == 1


def test_a_pair_lies_on_one_grid(
    oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, bits: np.ndarray, tmp_path: Path
) -> None:
    """An array that does not say where it lies takes the place of the other side."""
    np.save(tmp_path / "p.npy", np.stack([organ, tumor]))
    reference = write(bits, oblique_geometry, tmp_path / "r.nrrd")
    regions = {"organ": (1, 3), "tumor": (2, 3)}
    predicted, expected = read_pair(
        LabelSource(path=tmp_path / "p.npy", numbers=NUMBERS, overlapping=True),
        LabelSource(path=reference, numbers=NUMBERS, regions=regions, overlapping=True),
    )
    assert Geometry.of(predicted).disagreements(Geometry.of(expected)) == []
    assert (sitk.GetArrayFromImage(predicted) == sitk.GetArrayFromImage(expected)).all()


def test_as_json(tmp_path: Path) -> None:
    source = LabelSource(
        path=tmp_path / "a.nrrd", numbers=NUMBERS, masks={"organ": tmp_path / "a.nrrd"}, regions={"tumor": (1, 2)},
        overlapping=True, ignored_value=3,
    )  # fmt: skip
    assert LabelSource.from_json(source.to_json()) == source
