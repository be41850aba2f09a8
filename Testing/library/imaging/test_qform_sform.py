"""qform and sform of NIfTI files, against nibabel; results keep both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map
from MedSegTrainerLib.imaging.qform_sform import distance_mm, forms_apart, read_forms
from MedSegTrainerLib.imaging.write import write_volume

nibabel = pytest.importorskip("nibabel")

SIZE = (7, 6, 5)
LIVER = LabelClass(value=1, name="liver", color=(1, 2, 3))
TURNED = np.array([[0.96, 0.28, 0, 1.5], [-0.28, 0.96, 0, -2], [0, 0, 1, 3], [0, 0, 0, 1]])


def form(spacing: tuple[float, float, float], *, left_handed: bool = False) -> np.ndarray:
    affine = np.diag([-spacing[0], -spacing[1], -spacing[2] if left_handed else spacing[2], 1.0])
    affine[:3, 3] = 40, 30, -60
    return TURNED @ affine


Q, S = form((1.2, 1.3, 2.5)), TURNED @ form((1.2, 1.3, 2.5))
MIRRORED = form((1.2, 1.3, 2.5), left_handed=True)
SHEARED = Q + np.array([[0, 0.02, 0, 0], [0, 0, -0.03, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def write(
    path: Path, qform: np.ndarray | None, sform: np.ndarray | None, codes: tuple[int, int], *,
    endian: str = "<", unit: str = "mm", size: tuple[int, ...] = SIZE,
) -> Path:  # fmt: skip
    voxels = np.random.default_rng(1).integers(0, 9, size).astype(np.int16)
    image = nibabel.Nifti1Image(voxels, None, header=nibabel.Nifti1Header(endianness=endian))
    image.header.set_xyzt_units(unit, "sec")
    if qform is not None:
        image.header.set_qform(qform, codes[0])
    if sform is not None:
        image.header.set_sform(sform, codes[1])
    image.header["qform_code"], image.header["sform_code"] = codes
    image.to_filename(path)
    return path


FILES: dict[str, dict[str, Any]] = {
    "one turned against the other": {"qform": Q, "sform": S, "codes": (1, 2)},
    "sform of a scanner": {"qform": Q, "sform": S, "codes": (1, 1)},
    "sform alone": {"qform": None, "sform": S, "codes": (0, 4)},
    "qform alone": {"qform": Q, "sform": None, "codes": (1, 0)},
    "codes of a template": {"qform": Q, "sform": Q, "codes": (2, 4)},
    "another scale": {"qform": Q, "sform": form((1, 1, 1)), "codes": (1, 2)},
    "sheared": {"qform": Q, "sform": SHEARED, "codes": (1, 1)},
    "left-handed": {"qform": MIRRORED, "sform": TURNED @ MIRRORED, "codes": (1, 2)},
    "no codes": {"qform": Q, "sform": S, "codes": (0, 0)},
    "big-endian": {"qform": MIRRORED, "sform": S, "codes": (1, 3), "endian": ">"},
    "metres": {"qform": Q, "sform": S, "codes": (1, 2), "unit": "meter"},
    "one slice": {"qform": Q, "sform": S, "codes": (1, 2), "size": (7, 6)},
}


@pytest.fixture(params=FILES.values(), ids=FILES.keys())
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / "image.nii.gz", **request.param)


def seen_by_nibabel(path: Path) -> dict[str, Any]:
    header = nibabel.load(path).header
    return {
        "best": header.get_best_affine(), "qform": header.get_qform(), "sform": header.get_sform(),
        "codes": (int(header["qform_code"]), int(header["sform_code"])), "sizes": header["pixdim"][:3],
        "units": header.get_xyzt_units(),
    }  # fmt: skip


class TestRead:
    def test_as_nibabel_does(self, image: Path) -> None:
        forms, header = read_forms(image), nibabel.load(image).header
        assert forms is not None
        np.testing.assert_allclose(forms.qform, header.get_qform(), atol=1e-4)
        np.testing.assert_allclose(forms.sform, header.get_sform(), atol=1e-5)
        assert forms.size == (*header.get_data_shape(), 1)[:3]

    def test_other_files_have_none(self, tmp_path: Path) -> None:
        sitk.WriteImage(sitk.Image(SIZE, sitk.sitkUInt8), str(tmp_path / "a.nrrd"))
        (tmp_path / "text.nii").write_text("hello")
        assert [read_forms(tmp_path / name) for name in ("a.nrrd", "text.nii", "nowhere.nii.gz")] == [None] * 3


class TestResult:
    """A result is written from what ITK read of the image."""

    @pytest.mark.parametrize("name", ["result.nii.gz", "result.nii"])
    def test_lies_where_the_image_does_for_every_reader(self, image: Path, tmp_path: Path, name: str) -> None:
        read = sitk.ReadImage(str(image))
        grid = read if read.GetDimension() == 3 else sitk.JoinSeries(read)
        labels = sitk.Cast(grid > 3, sitk.sitkInt32)
        write_label_map(labels, tmp_path / "out" / name, [LIVER], image)
        result = tmp_path / "out" / name
        mine, theirs = seen_by_nibabel(result), seen_by_nibabel(image)
        for key in ("qform", "sform", "sizes", *(["best"] if any(theirs["codes"]) else [])):
            np.testing.assert_allclose(mine[key], theirs[key], atol=1e-5, err_msg=key)
        assert (mine["codes"], mine["units"]) == (theirs["codes"], theirs["units"])
        again = sitk.ReadImage(str(result))
        assert again.GetDimension() == read.GetDimension()
        assert (again.GetSpacing(), again.GetOrigin(), again.GetDirection()) == (
            read.GetSpacing(), read.GetOrigin(), read.GetDirection(),
        )  # fmt: skip
        assert np.array_equal(sitk.GetArrayViewFromImage(again).ravel(), sitk.GetArrayViewFromImage(labels).ravel())
        voxels = np.asarray(nibabel.load(image).dataobj)
        assert np.array_equal(np.asarray(nibabel.load(result).dataobj), voxels > 3)
        assert [path.name for path in (tmp_path / "out").iterdir()] == [name]

    def test_of_fractions(self, image: Path, tmp_path: Path) -> None:
        read = sitk.ReadImage(str(image))
        grid = read if read.GetDimension() == 3 else sitk.JoinSeries(read)
        write_volume(sitk.Cast(grid, sitk.sitkFloat32) / 7, tmp_path / "map.nii.gz", image)
        np.testing.assert_allclose(
            seen_by_nibabel(tmp_path / "map.nii.gz")["sform"], seen_by_nibabel(image)["sform"], atol=1e-5
        )

    def test_on_another_grid_keeps_its_own_geometry(self, tmp_path: Path, oblique_geometry: Geometry) -> None:
        image = write(tmp_path / "image.nii", **FILES["sform alone"])
        other = oblique_geometry.place(np.zeros(oblique_geometry.size_zyx, np.uint8))
        write_volume(other, tmp_path / "other.nii.gz", image)
        assert Geometry.of(sitk.ReadImage(str(tmp_path / "other.nii.gz"))).disagreements(oblique_geometry) == []


class TestDisagreement:
    def message_of(self, path: Path) -> str:
        return forms_apart(path, Geometry.of(sitk.ReadImage(str(path))))

    def test_names_the_distance_and_the_form_that_is_taken(self, tmp_path: Path) -> None:
        message = self.message_of(write(tmp_path / "a.nii.gz", Q, S, (1, 2)))
        ends = np.array([[i, j, k, 1] for i in (0, 6) for j in (0, 5) for k in (0, 4)]).T
        away = np.linalg.norm(((Q - S) @ ends)[:3], axis=0).max()
        assert message.startswith(f"qform and sform of a.nii.gz lie up to {away:.3g} mm apart. The qform is taken here")
        assert "The sform is taken here" in self.message_of(write(tmp_path / "b.nii.gz", Q, S, (1, 1)))

    def test_names_voxels_of_another_size(self, tmp_path: Path) -> None:
        message = self.message_of(write(tmp_path / "a.nii.gz", Q, form((1, 1, 1)), (1, 2)))
        assert "voxels of 1.2 x 1.3 x 2.5 mm by the qform and 1 x 1 x 1 mm by the sform" in message

    def test_counts_in_the_unit_of_the_file(self, tmp_path: Path) -> None:
        millimetres, metres = (
            read_forms(write(tmp_path / f"{unit}.nii", Q, S, (1, 2), unit=unit)) for unit in ("mm", "meter")
        )
        assert millimetres is not None and metres is not None
        assert distance_mm(metres) == pytest.approx(1000 * distance_mm(millimetres))

    @pytest.mark.parametrize("name", ["sform alone", "qform alone", "codes of a template", "no codes"])
    def test_none(self, tmp_path: Path, name: str) -> None:
        assert self.message_of(write(tmp_path / "a.nii.gz", **FILES[name])) == ""
