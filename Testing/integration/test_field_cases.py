"""Inputs from public bug reports that went wrong for others (``shared/cases``): a row for every one.

A row is a command and what must come out of it. What a line of text cannot show (voxels, positions) is asked by
the test that ``ELSEWHERE`` names. Each folder has a README that says what is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from MedSegTrainerLib.cli.main import main

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
QUICK = " --set base_channels=4 --set mixed_precision=false --set channels_last=false"  # one small network is measured


@dataclass(frozen=True, kw_only=True)
class Row:
    """``run``: words of a command, with {case} for the folder and {out} for a new one. Everything in ``says`` must be
    in what it prints, and nothing of ``never``."""

    run: str = "plan {case} --epochs 1 --device cpu" + QUICK
    code: int = 0
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ("Traceback",)


TABLE: dict[str, Row] = {
    # --- geometry ---
    "acdc_sform_scale": Row(
        says=(
            "lie up to 172 mm apart",
            "1.316 x 1.316 x 10 mm by the qform and 1 x 1 x 1 mm by the sform",
            "10.0, 1.316",
        ),
    ),
    "sform_registered": Row(
        says=("c0: qform and sform of c0.nii.gz lie up to 9.83 mm apart. The qform is taken here",)
    ),
    "near_orthonormal": Row(says=("lie up to 0.589 mm apart. The qform is taken here",)),
    "label_identity_affine": Row(
        code=1,
        says=("The label lost its header: it has an identity affine", "label.CopyInformation(image)", "fslcpgeom"),
        never=("Traceback", "Resample the label"),
    ),
    "qform_sform_0": Row(
        says=("its label map does not say where it lies (qform and sform codes are 0)", "those of the image"),
    ),
    "seg_oversampled": Row(
        code=1,
        says=("Both cover the same box", "exports with oversampling", "sitk.sitkNearestNeighbor"),
    ),
    "double_oblique": Row(says=("1.3, 1.2, 2.5",)),
    "seg_old_slicer": Row(says=("liver 1 4", "tumor 2 4")),
    "seg_slicerio9": Row(says=("liver 1 4", "tumor 2 4", "far corner 4 4")),
    "seg_empty_case": Row(says=("c3: its label map is empty", "lesion 1 3")),
    "seg_cropped_nrrd": Row(says=("cut to its labels and was put where it belongs", "3.779%")),
    # --- label values, channels and pictures ---
    "label_0999": Row(says=("label 2 2 4", "such as 1.99999678135, were rounded"), never=("is no label map",)),
    "mixed_1_and_255": Row(says=("4 are of 0 and 255 (c1, c3, c5, c7)", "taken as one class"), never=("label 255",)),
    "png_soft_edges": Row(code=1, says=("14 gray values", "no classes", "Set all below 128 to 0")),
    "nnunet_ignore": Row(says=("organ 1 4", "lesion 2 4"), never=("ignore 3", "Traceback")),
    "seg_to_nifti_values": Row(code=1, says=("c2: Label values [3]", "number segments by their order")),
    "mask255": Row(
        run="evaluate {case}/p {case}/r -o {out}", says=("label 1 0.889", "compared as one class"), never=("label 255",)
    ),
    "eval_1_vs_255": Row(
        run="evaluate {case}/pred {case}/ref -o {out}", says=("label 255 1.000", "compared as one class")
    ),
    "jpeg_named_png": Row(says=("foreground 255 6", "c0.png is a JPEG file"), never=("label 254",)),
    "two_raters": Row(code=1, says=("rater2.nii.gz", "where the labels are (Dice 0.83)", """'image_names=["t1"]'""")),
    "tiff_palette": Row(says=("label 1 1 6", "label 2 2 6"), never=("65535", "colour picture")),
    # --- apply, models ---
    "five_axes": Row(says=("4 cases",)),
    # --- layouts, files and DICOM ---
    "analyze": Row(code=1, says=("8 .hdr, 8 .img", "The format is Analyze", "convert it to NIfTI")),
    "btcv_names": Row(says=("4 cases, layout imagesTr/ and labelsTr/",)),
    "dicom_labels": Row(
        code=1,
        says=(
            "c0.dcm cannot be read as DICOM: it has no structures",
            "c1.dcm cannot be read as DICOM: it has no segments",
        ),
    ),
    "interleaved_echoes": Row(code=1, says=("There are DICOM files in series/ and no label map",)),
    "multiframe": Row(code=1, says=("There are DICOM files and no label map",)),
    "not_gz": Row(code=1, says=("labels/c1.nii is packed NIfTI, and its name says .nii. Rename it to c1.nii.gz.",)),
    "stray_in_imagesTr": Row(code=1, says=("1 of 5 images in", "without channel number: c4.", "CASE_0000")),
    "totalseg_folder": Row(says=("a mask for each class (2 classes)", "liver 1 4", "spleen 2 4", "out_channels 3")),
    "seg_named_by_case": Row(
        says=("Every class is in one case only, and named after it: 'c0-label' in c0", "the same name in all cases")
    ),
    "nnunet_regions": Row(
        says=("'whole tumor' and 'core' share the value 2 in dataset.json; 586 voxels", "out_channels 2 classes, each"),
    ),
    # --- settings and JSON ---
    "json_bom": Row(says=("layout nnU-Net",)),
    # --- training ---
    "left_right_unnamed": Row(
        run="plan {case}/d_lr --epochs 1 --device cpu" + QUICK,
        says=("not along x: 'label 1' and 'label 2' lie on opposite sides along x in 6 of 6 cases",),
        never=("anatomy is alike",),
    ),
    "dims2_sagittal": Row(
        run="plan {case}/d_sag --set dims=2 --epochs 1 --device cpu",
        says=("slice_axis x the finest plane: 0.6 x 0.6", "spacing 4.0, 0.6, 0.6", "patch_size 1, 64, 56"),
    ),
}

ELSEWHERE: dict[str, tuple[str, ...]] = {  # folder to the files of tests that try it, below Testing
    "absent_class_not_found": ("library/training/test_validation.py",),
    "apply_odd": ("integration/test_case_places.py", "integration/test_odd_images.py", "library/jobs/test_apply.py"),
    "ct_wrong_scale": ("integration/test_odd_images.py",),
    "exif_180": ("library/imaging/test_photos.py",),
    "interleaved_echoes": ("library/imaging/test_dicom.py",),
    "multiframe": ("library/imaging/test_dicom_frames.py", "library/imaging/test_dicom.py"),
    "nan_inf_image": ("integration/test_odd_images.py",),
    "nnunet_channel_name": ("library/evaluation/test_file_pairs.py",),
    "nrrd_ras_cropped_seg": ("integration/test_case_places.py",),
    "resume_changed_data": ("integration/wrong_input/test_changed_data.py",),
}


@pytest.fixture(scope="module")
def cases() -> Path:
    if not CASES.is_dir():
        pytest.skip(f"needs the inputs in {CASES}")
    return CASES


@pytest.mark.parametrize("name", TABLE)
def test_what_must_come_out(name: str, cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = TABLE[name]
    with pytest.raises(SystemExit) as ended:
        main([word.format(case=cases / name, out=tmp_path / "out") for word in row.run.split()])
    shown = capsys.readouterr()
    text = " ".join((shown.out + shown.err).split())  # a console breaks lines where it is narrow
    assert (ended.value.code or 0) == row.code, text
    assert [words for words in row.says if words not in text] == [], text
    assert [words for words in row.never if words in text] == [], text


def test_every_input_is_tried(cases: Path) -> None:
    assert {path.name for path in cases.iterdir() if path.is_dir()} == TABLE.keys() | ELSEWHERE.keys()
    for file in {file for files in ELSEWHERE.values() for file in files}:
        assert (Path(__file__).resolve().parents[1] / file).is_file(), file
