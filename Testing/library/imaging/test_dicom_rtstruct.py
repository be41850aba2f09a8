"""Structure sets as labels: contours, holes, places, codes; as an independent rasterisation finds real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from matplotlib.path import Path as Outline

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom_rtstruct import read_structures, source_series, structure_classes
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_components import component_count
from MedSegTrainerLib.imaging.label_maps import read_label_map, read_label_map_onto, read_label_pair
from MedSegTrainerLib.imaging.label_source import LabelSource, overlapping_pairs, place_labels, read_labels, read_pair
from MedSegTrainerLib.imaging.seg_nrrd import read_segments, text_fields

Writer = Callable[..., Path]
Polygons = list[tuple[int, list[tuple[float, float]]]]


def box(x: tuple[int, int], y: tuple[int, int]) -> list[tuple[float, float]]:
    """A rectangle around the pixels from the first to the last."""
    (left, right), (top, bottom) = x, y
    return [(left - 0.5, top - 0.5), (right + 0.5, top - 0.5), (right + 0.5, bottom + 0.5), (left - 0.5, bottom + 0.5)]


ORGAN: Polygons = [(z, box((4, 13), (3, 9))) for z in range(2, 7)]


@pytest.fixture
def organ(oblique_geometry: Geometry) -> np.ndarray:
    mask = np.zeros(oblique_geometry.size_zyx, np.uint8)
    mask[2:7, 3:10, 4:14] = 1
    return mask


def values(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


class TestContours:
    @pytest.mark.parametrize("axes", ["LPS", "RAS", "SAR", "PIL", "ASL", "LPI", "IRA"])
    def test_on_an_image_with_any_axes(
        self, axes: str, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_structures: Writer
    ) -> None:
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": ORGAN})
        image = sitk.DICOMOrient(oblique_geometry.place(organ), axes)
        assert np.array_equal(values(read_label_map_onto(path, image)), values(image))

    def test_holes_and_islands(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_structures: Writer
    ) -> None:
        hole = [(z, box((6, 10), (5, 7))) for z in range(3, 6)]
        island = [(z, box((15, 15), (11, 12))) for z in range(3, 6)]
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": [*island, *ORGAN, *hole]})
        organ[3:6, 5:8, 6:11] = 0
        organ[3:6, 11:13, 15] = 1
        assert np.array_equal(values(read_structures(path, oblique_geometry)), organ)

    def test_a_contour_that_stands_there_twice_counts_once(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_structures: Writer
    ) -> None:
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": ORGAN * 2})
        assert np.array_equal(values(read_structures(path, oblique_geometry)), organ)

    def test_overlap_is_kept(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_structures: Writer
    ) -> None:
        part = [(z, box((6, 10), (5, 7))) for z in range(3, 6)]
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"part": part, "organ": ORGAN})
        assert component_count(path) == 2
        image = tmp_path / "a.nii.gz"
        sitk.WriteImage(oblique_geometry.place(organ), str(image))
        source = LabelSource(path=path, numbers={"organ": 1, "part": 2}, overlapping=True, image=image)
        organ = organ.astype(int)
        organ[3:6, 5:8, 6:11] += 2
        assert np.array_equal(values(place_labels(source, sitk.ReadImage(str(image))).image), organ)
        assert np.array_equal(values(read_labels(LabelSource.from_json(source.to_json()))), organ)
        assert overlapping_pairs(source) == {("part", "organ"): 45}

    def test_names_colours_and_codes(
        self, oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer
    ) -> None:
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"no contour": [], "organ": ORGAN})
        (one,) = structure_classes(path)
        assert (one.value, one.name, one.color) == (1, "organ", (200, 10, 3))
        assert "~SCT^85756007^Tissue~SCT^10200004^Kind of organ~^^~" in one.terminology
        assert source_series(path) == ["1.2.3.4"]


class TestSeries:
    def test_is_found_beside_it(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_series: Writer,
        write_structures: Writer,
    ) -> None:  # fmt: skip
        write_series(oblique_geometry.place(organ.astype(np.int16)), tmp_path / "CT")
        write_series(oblique_geometry.place(organ.astype(np.int16)), tmp_path / "MR", uid="1.2.3.5")
        (tmp_path / "RT").mkdir()
        path = write_structures(tmp_path / "RT" / "1-1.dcm", oblique_geometry, {"organ": ORGAN})
        for label in (path, path.parent):
            assert np.array_equal(values(sitk.DICOMOrient(read_label_map(label))), values(sitk.DICOMOrient(
                oblique_geometry.place(organ))))  # fmt: skip

    def test_is_not_there(self, oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer) -> None:
        (tmp_path / "labels").mkdir()
        path = write_structures(tmp_path / "labels" / "a.dcm", oblique_geometry, {"organ": ORGAN})
        with pytest.raises(DataError, match=r"\(1\.2\.3\.4\) does not lie beside it\. Put the folder"):
            read_label_map(path)

    def test_a_prediction_gives_the_grid(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_structures: Writer
    ) -> None:
        (tmp_path / "labels").mkdir()
        reference = write_structures(tmp_path / "labels" / "a.dcm", oblique_geometry, {"organ": ORGAN})
        prediction = tmp_path / "p.nii.gz"
        sitk.WriteImage(oblique_geometry.place(organ), str(prediction))
        for sides in (read_label_pair(prediction, reference),
                      read_pair(LabelSource(path=prediction), LabelSource(path=reference))):  # fmt: skip
            assert [values(side).tolist() for side in sides] == [organ.tolist()] * 2


class TestRefused:
    def refused(self, path: Path, grid: Geometry) -> str:
        with pytest.raises(DataError) as caught:
            read_structures(path, grid)
        assert str(path) in str(caught.value)
        return str(caught.value)

    def test_an_image_that_ends_before(
        self, oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer
    ) -> None:
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": ORGAN})
        short = replace(oblique_geometry, size=(17, 13, 6))
        assert "a contour of 'organ' lies beyond the image, at slice 7 of 6" in self.refused(path, short)

    def test_another_place(self, oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer) -> None:
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": ORGAN})
        x, y, z = oblique_geometry.origin
        assert "lies beyond the image" in self.refused(path, replace(oblique_geometry, origin=(x + 50, y, z)))

    def test_planes_between_slices(self, oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer) -> None:
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": ORGAN})
        moved = np.array(oblique_geometry.origin) + 1.1 * np.array(oblique_geometry.direction)[2::3]
        shifted = replace(oblique_geometry, origin=tuple(moved.tolist()))
        assert "lies between slices 2 and 3 of the image" in self.refused(path, shifted)

    def test_a_tilted_image(self, oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer) -> None:
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": ORGAN})
        straight = Geometry(size=(90, 90, 60), origin=(-60.0, -40.0, -30.0))
        assert "do not lie in slices of the image" in self.refused(path, straight)

    def test_every_second_slice(self, oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer) -> None:
        sparse = [(z, corners) for z, (_, corners) in zip(range(0, 9, 2), ORGAN, strict=True)]
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": sparse})
        assert "'organ' is drawn in every 2. slice only" in self.refused(path, oblique_geometry)

    @pytest.mark.parametrize("kind", ["POINT", "OPEN_PLANAR"])
    def test_nothing_closed(
        self, kind: str, oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer
    ) -> None:
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": ORGAN}, kind)
        assert "it has no structures with closed contours" in self.refused(path, oblique_geometry)

    def test_numbers_that_are_no_points(
        self, oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer
    ) -> None:
        path = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": ORGAN})
        dataset = pydicom.dcmread(path)
        contour = dataset.ROIContourSequence[0].ContourSequence[2]
        contour.ContourData = list(contour.ContourData)[:-1]
        dataset.save_as(path)
        assert "a contour has 11 numbers that are no points" in self.refused(path, oblique_geometry)

    def test_a_file_that_is_cut_anywhere(
        self, oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer
    ) -> None:
        content = write_structures(tmp_path / "a.dcm", oblique_geometry, {"organ": ORGAN}).read_bytes()
        for length in range(200, len(content) - 400, 97):
            (tmp_path / "b.dcm").write_bytes(content[:length])
            with pytest.raises(DataError, match=r"b\.dcm"):
                read_label_map_onto(tmp_path / "b.dcm", oblique_geometry.place(np.zeros((9, 13, 17))))


class TestRealFiles:
    @pytest.mark.parametrize(
        ("name", "grid"),
        [
            ("dicompyler/rtss.dcm",
             Geometry(size=(512, 512, 98), spacing=(1.074219, 1.074219, 3), origin=(-275, -524, -122.4407))),
            ("rt-utils/mock_data/invalid_reference_rt.dcm",
             Geometry(size=(512, 512, 3), spacing=(0.488281, 0.488281, 5), origin=(-125, -125, 60))),
            ("rt-utils/mock_data/rt.dcm",
             Geometry(size=(512, 512, 3), spacing=(0.488281, 0.488281, 5), origin=(-125, -125, 60))),
        ],
    )  # fmt: skip
    def test_as_matplotlib_fills_them(self, name: str, grid: Geometry, shared_data: Path) -> None:
        """A lung with vessels left out: structures at 0.98 Dice and above; the body is left out, as it takes long."""
        path = shared_data / "dicom_objects" / name
        if not path.is_file():
            pytest.skip(f"needs {path}")
        image = read_structures(path, grid)
        found = sitk.GetArrayViewFromImage(image).reshape(*grid.size_zyx, -1)
        layers = [one.layer for one in read_segments(text_fields(image), found.shape[-1])]
        dataset = pydicom.dcmread(path)
        drawn = [roi for roi in dataset.ROIContourSequence if roi.get("ContourSequence")]
        names = {roi.ROINumber: roi.ROIName for roi in dataset.StructureSetROISequence}
        for number, roi in enumerate(drawn, start=1):
            if names[roi.ReferencedROINumber] == "BODY":
                continue
            expected = np.zeros(grid.size_zyx, bool)
            for contour in roi.ContourSequence:
                _toggle(expected, np.array(contour.ContourData, float).reshape(-1, 3), grid)
            mask = found[..., layers[number - 1]] == number
            assert expected.any()
            assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) >= 0.98


def _toggle(mask: np.ndarray, points: np.ndarray, grid: Geometry) -> None:
    """Turns the voxels inside of a contour, by matplotlib's test of points, in its bounding box."""
    corners = (points - grid.origin) / grid.spacing
    low = np.maximum(np.floor(corners.min(axis=0)[:2]).astype(int), 0)
    high = np.ceil(corners.max(axis=0)[:2]).astype(int) + 1
    part = mask[round(corners[0, 2]), low[1] : high[1], low[0] : high[0]]
    rows, columns = np.indices(part.shape)
    centres = np.stack([columns.ravel() + low[0], rows.ravel() + low[1]], axis=1)
    part ^= Outline(corners[:, :2]).contains_points(centres).reshape(part.shape)
