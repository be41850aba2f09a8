"""Label maps whose voxels lie on those of their image come onto its grid; all others stay as they were read."""

from __future__ import annotations

import itertools
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.data.checks.scan import examine_cases
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry, index_map
from MedSegTrainerLib.imaging.label_maps import place_label_map, read_label_map_onto, read_label_pair
from MedSegTrainerLib.imaging.read import read_channels

CODES, SROW, QOFFSET = ("<2h", 252), ("<12f", 280), ("<3f", 268)  # of a NIfTI-1 header


@pytest.fixture
def image(oblique_case: tuple[sitk.Image, sitk.Image]) -> sitk.Image:
    return oblique_case[0]


@pytest.fixture
def label(oblique_case: tuple[sitk.Image, sitk.Image]) -> sitk.Image:
    return oblique_case[1]


def save(image: sitk.Image, path: Path) -> Path:
    sitk.WriteImage(image, str(path))
    return path


def change(path: Path, field: tuple[str, int], *values: float) -> Path:
    """Another value in the header of a ``.nii`` file."""
    content = bytearray(path.read_bytes())
    struct.pack_into(field[0], content, field[1], *values)
    path.write_bytes(content)
    return path


def moved_sform(path: Path, away: float) -> Path:
    """The file with its sform ``away`` mm from its qform, which ITK takes as the code of the sform is 2."""
    rows = list(struct.unpack_from(SROW[0], path.read_bytes(), SROW[1]))
    for row in range(3):
        rows[4 * row + 3] += away
    return change(change(path, SROW, *rows), CODES, 1, 2)


def lies_on(actual: sitk.Image, label: sitk.Image) -> bool:
    same = np.array_equal(sitk.GetArrayViewFromImage(actual), sitk.GetArrayViewFromImage(label))
    return same and not Geometry.of(actual).disagreements(Geometry.of(label))


class TestOrderOfAxes:
    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    @pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
    def test_all_48(
        self, image: sitk.Image, label: sitk.Image, tmp_path: Path, order: tuple[int, ...], flips: tuple[bool, ...]
    ) -> None:
        turned = sitk.Flip(sitk.PermuteAxes(label, order), flips)
        path = save(turned, tmp_path / "a.nrrd")
        placed = place_label_map(path, image)
        assert lies_on(placed.image, label)
        moved = bool(Geometry.of(turned).disagreements(Geometry.of(label)))
        assert (placed.finding.kind if placed.finding else "") == (
            "label map with its axes in another order" if moved else ""
        )

    def test_a_shifted_one_stays(self, image: sitk.Image, label: sitk.Image, tmp_path: Path) -> None:
        flipped = sitk.Flip(label, (True, False, False))
        flipped.SetOrigin((np.array(flipped.GetOrigin()) + 0.3).tolist())
        path = save(flipped, tmp_path / "a.nrrd")
        assert Geometry.of(read_label_map_onto(path, image)).disagreements(Geometry.of(flipped)) == []

    def test_predictions_and_references(self, label: sitk.Image, tmp_path: Path) -> None:
        one, other = save(label, tmp_path / "a.nii"), save(sitk.Flip(label, (False, True, True)), tmp_path / "b.nrrd")
        for pair in ((one, other), (other, one)):
            prediction, reference = read_label_pair(*pair)
            assert lies_on(prediction, reference)

    def test_is_told_as_a_note(self, image: sitk.Image, label: sitk.Image, tmp_path: Path) -> None:
        """A case that is trained on all the same."""
        paths = save(image, tmp_path / "i.nrrd"), save(sitk.PermuteAxes(label, (2, 0, 1)), tmp_path / "l.nrrd")
        examination = examine_cases([Case(name="a", images=paths[:1], label=paths[1])])
        notes = [finding for finding in examination.findings if "another order" in finding.message]
        assert [(finding.case, finding.severity) for finding in notes] == [("a", "note")]
        assert examination.scans[0].voxels[2] == 24


class TestForms:
    """The image has a qform, which ITK takes, and an sform 7 mm beside it."""

    @pytest.fixture
    def image_file(self, image: sitk.Image, tmp_path: Path) -> Path:
        return moved_sform(save(image, tmp_path / "image.nii"), 7.0)

    @pytest.mark.parametrize("form", ["qform", "sform"])
    def test_a_label_map_with_either_form(self, image_file: Path, label: sitk.Image, tmp_path: Path, form: str) -> None:
        path = moved_sform(save(label, tmp_path / "label.nii"), 7.0)
        change(path, CODES, *((1, 0) if form == "qform" else (0, 2)))
        grid = sitk.ReadImage(str(image_file))
        placed = place_label_map(path, grid, None, image_file)
        assert lies_on(placed.image, on(label, grid))
        assert (placed.finding is not None) == (form == "sform")

    def test_in_another_order_by_the_sform(self, image_file: Path, label: sitk.Image, tmp_path: Path) -> None:
        path = moved_sform(save(sitk.Flip(label, (True, False, True)), tmp_path / "label.nii"), 7.0)
        change(path, CODES, 0, 2)
        grid = sitk.ReadImage(str(image_file))
        assert lies_on(read_label_map_onto(path, grid, None, image_file), on(label, grid))

    def test_codes_of_zero_over_the_right_matrices(self, image_file: Path, label: sitk.Image, tmp_path: Path) -> None:
        path = change(save(label, tmp_path / "label.nii"), CODES, 0, 0)
        placed = place_label_map(path, sitk.ReadImage(str(image_file)), None, image_file)
        assert lies_on(placed.image, on(label, sitk.ReadImage(str(image_file))))
        assert placed.finding is not None and placed.finding.severity == "warning"

    def test_codes_of_zero_over_others(self, image_file: Path, label: sitk.Image, tmp_path: Path) -> None:
        """Not even where what ITK makes up lies a whole number of voxels away."""
        path = save(label, tmp_path / "label.nii")
        change(change(change(path, CODES, 0, 0), SROW, *[0.0] * 12), QOFFSET, 1.0, 2.0, 3.0)
        placed = place_label_map(path, sitk.ReadImage(str(image_file)), None, image_file)
        assert Geometry.of(placed.image).origin == (0.0, 0.0, 0.0) and placed.finding is None

    def test_an_image_with_codes_of_zero_has_the_place_that_itk_gives_it(
        self, image: sitk.Image, label: sitk.Image, tmp_path: Path
    ) -> None:
        """3D Slicer shows it there, and saves segmentations on it."""
        path = change(save(image, tmp_path / "i.nii"), CODES, 0, 0)
        grid = sitk.ReadImage(str(path))
        cut = save(on(label, grid)[TestCut.BOX], tmp_path / "l.seg.nrrd")
        assert lies_on(read_label_map_onto(cut, grid, None, path), on(label, grid))

    def test_disagreement_of_the_image_is_a_warning(self, image_file: Path, label: sitk.Image, tmp_path: Path) -> None:
        path = moved_sform(save(label, tmp_path / "label.nii"), 7.0)
        examination = examine_cases([Case(name="a", images=(image_file,), label=path)])
        warnings = [finding for finding in examination.findings if "qform" in finding.kind]
        assert [finding.severity for finding in warnings] == ["warning"] and "12.1 mm apart" in warnings[0].message
        assert len(examination.scans) == 1


def on(label: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """The label map with the geometry of the grid."""
    copy = sitk.Cast(label, sitk.sitkInt32)
    copy.CopyInformation(grid)
    return copy


class TestCut:
    BOX = slice(4, 14), slice(3, 10), slice(2, 7)  # of the labels in the case, x, y, z

    @pytest.mark.parametrize("suffix", ["nrrd", "nii.gz", "mha"])
    def test_to_its_labels(self, image: sitk.Image, label: sitk.Image, tmp_path: Path, suffix: str) -> None:
        placed = place_label_map(save(label[self.BOX], tmp_path / f"a.{suffix}"), image)
        assert lies_on(placed.image, label)
        assert placed.finding is not None and placed.finding.severity == "warning"

    def test_and_turned(self, image: sitk.Image, label: sitk.Image, tmp_path: Path) -> None:
        path = save(sitk.Flip(sitk.PermuteAxes(label[self.BOX], (1, 2, 0)), (True, False, True)), tmp_path / "a.nrrd")
        assert lies_on(read_label_map_onto(path, image), label)

    def test_elsewhere_it_may_be_the_rest_that_is_missing(
        self, image: sitk.Image, label: sitk.Image, tmp_path: Path
    ) -> None:
        for index, part in enumerate((label[:, :, 1:], label[3:14, 3:10, 2:7], label[4:14, 3:10, 2:8])):
            assert read_label_map_onto(save(part, tmp_path / f"{index}.nrrd"), image).GetSize() == part.GetSize()

    def test_without_a_place_of_its_own(self, tmp_path: Path) -> None:
        """Two arrays of different sizes, both from 0 on: nothing says that the first voxels are the same."""
        image = save(sitk.Image((9, 8, 7), sitk.sitkFloat32), tmp_path / "i.nrrd")
        path = save(sitk.Image((9, 8, 6), sitk.sitkUInt8) + 1, tmp_path / "l.nrrd")
        assert read_label_map_onto(path, sitk.ReadImage(str(image))).GetSize() == (9, 8, 6)

    def test_labels_beyond_the_image_are_not_lost(self, image: sitk.Image, label: sitk.Image, tmp_path: Path) -> None:
        path = save(label[self.BOX], tmp_path / "a.nrrd")
        assert read_label_map_onto(path, image[:9]).GetSize() == (10, 7, 5)


class TestEmpty:
    def test_a_segmentation_of_a_single_voxel(self, image: sitk.Image, label: sitk.Image, tmp_path: Path) -> None:
        path = save(sitk.Image((1, 1, 1), sitk.sitkUInt8), tmp_path / "a.seg.nrrd")
        assert lies_on(read_label_map_onto(path, image), sitk.Cast(label, sitk.sitkInt32) * 0)
        prediction, reference = read_label_pair(save(label, tmp_path / "b.nii.gz"), path)
        assert reference.GetSize() == prediction.GetSize() == label.GetSize()

    @pytest.mark.parametrize(("name", "value"), [("a.nrrd", 0), ("a.seg.nrrd", 1)])
    def test_no_other_single_voxel(self, image: sitk.Image, tmp_path: Path, name: str, value: int) -> None:
        path = save(sitk.Image((1, 1, 1), sitk.sitkUInt8) + value, tmp_path / name)
        assert read_label_map_onto(path, image).GetSize() == (1, 1, 1)


class TestChannels:
    def test_in_another_order(self, image: sitk.Image, tmp_path: Path) -> None:
        paths = save(image, tmp_path / "a.nii"), save(sitk.Flip(image * 2, (True, False, True)), tmp_path / "b.nrrd")
        channels = read_channels(paths)
        assert lies_on(channels[1], image * 2)

    def test_that_share_the_sform_alone(self, image: sitk.Image, tmp_path: Path) -> None:
        first = moved_sform(save(image, tmp_path / "a.nii"), 7.0)
        second = change(moved_sform(save(image * 2, tmp_path / "b.nii"), 7.0), CODES, 0, 2)
        assert lies_on(read_channels([first, second])[1], image * 2)

    def test_a_part_is_refused(self, image: sitk.Image, tmp_path: Path) -> None:
        paths = save(image, tmp_path / "a.nrrd"), save(image[:, :, :7], tmp_path / "b.nrrd")
        with pytest.raises(DataError, match="channel 1 lies elsewhere"):
            read_channels(paths)


def test_index_map_wants_parallel_axes_and_whole_steps(oblique_geometry: Geometry) -> None:
    whole = oblique_geometry.affine_ras()
    assert np.array_equal(index_map(whole, (17, 13, 9), whole), np.eye(4))
    for other in (
        replace(oblique_geometry, spacing=(0.4, 1.1, 2.5)),
        replace(oblique_geometry, direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)),
        replace(oblique_geometry, origin=(-31.1, 12.25, 7.0)),
    ):
        assert index_map(other.affine_ras(), other.size, whole) is None
