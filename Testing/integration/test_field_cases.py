"""Inputs from public bug reports that went wrong for others (``shared/cases``): a row for every one.

A row is a command and what must come out of it. What a line of text cannot show (voxels, positions) is asked by
the test that ``ELSEWHERE`` names. Each folder has a README that says what is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from MedSegTrainerLib.cli import main

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


@dataclass(frozen=True, kw_only=True)
class Row:
    """``run``: words of a command, with {case} for the folder and {out} for a new one. Everything in ``says`` must be
    in what it prints, and nothing of ``never``."""

    run: str = "plan {case}"
    code: int = 0
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ("Traceback",)


TABLE: dict[str, Row] = {
    # --- geometry ---
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
    # --- layouts, files and DICOM ---
    # --- settings and JSON ---
}

ELSEWHERE: dict[str, str] = {  # folder to the file of tests that tries it
    # --- geometry ---
    # --- label values, channels and pictures ---
    "exif_180": "Testing/library/data/test_photos.py",
    # --- apply, models ---
    # --- layouts, files and DICOM ---
    # --- training ---
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
