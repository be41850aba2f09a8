"""Images from the field that a model is applied to: told, replaced or refused, each by itself, never silently empty."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import SimpleITK as sitk

from MedSegTrainerLib import api
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import JobFolder

LIVER = 5
CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


@pytest.fixture(scope="module")
def ct(shared_data: Path) -> sitk.Image:
    return sitk.ReadImage(str(shared_data / "ct" / "ct.nii.gz"))


@pytest.fixture(scope="module")
def model(ct: sitk.Image, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT model, trained on parts of one volume."""
    place = tmp_path_factory.mktemp("ct")
    liver = sitk.ReadImage(str(shared_data / "ct" / "labels.nii.gz")) == LIVER
    for name in ("images", "labels"):
        (place / "data" / name).mkdir(parents=True)
    for index, (y, x) in enumerate(((0, 0), (3, 6), (1, 12), (4, 3))):
        for name, image in (("images", ct), ("labels", liver)):
            part = image[x : x + 108, y : y + 96, :]
            sitk.WriteImage(part, str(place / "data" / name / f"case_{index}.nii.gz"))
    api.train(
        place / "data", place / "job", epochs=1, device="cpu", base_channels=4, patch_size="[16,32,32]",
        samples_per_volume=1,
    )  # fmt: skip
    return place / "job"


def told(output: Path) -> list[str]:
    events = EventReader(JobFolder(output / "job").events_file).read()
    return [event["message"] for event in events if event["kind"] == "warned"]


def test_a_ct_in_other_units_is_told_in_words_and_on_record(model: Path, ct: sitk.Image, tmp_path: Path) -> None:
    window = sitk.Clamp((sitk.Cast(ct, sitk.sitkFloat32) + 160) / 400, sitk.sitkFloat32, 0, 1)
    images = {
        "right": ct, "shifted": ct + 1024, "zero_one": window, "bytes": sitk.Cast(window * 255, sitk.sitkUInt8),
    }  # fmt: skip
    (tmp_path / "in").mkdir()
    for name, image in images.items():
        sitk.WriteImage(image, str(tmp_path / "in" / f"{name}.nii.gz"))
    api.apply(model, [tmp_path / "in"], tmp_path / "out", device="cpu")
    warned = sorted(told(tmp_path / "out"))
    assert [words.split()[0] for words in warned] == ["bytes", "shifted", "zero_one"]
    assert all("hardly Hounsfield units, which a CT must have" in words for words in warned)
    record = [json.loads(line) for line in (tmp_path / "out" / "made.jsonl").read_text().splitlines()]
    assert sorted(words for line in record for words in line.get("warnings", [])) == warned


def test_voxels_that_are_no_numbers_and_hot_ones(model: Path, ct: sitk.Image, tmp_path: Path) -> None:
    spoiled = sitk.Cast(ct, sitk.sitkFloat32)
    spoiled[50, 50, 15] = float("nan")
    hot = sitk.Cast(ct, sitk.sitkFloat32)
    hot[50, 50, 15] = 1e9
    for name, image in (("ct.nii.gz", ct), ("inside.nii.gz", spoiled), ("hot.nii.gz", hot)):
        sitk.WriteImage(image, str(tmp_path / name))
    with pytest.raises(DataError, match=r"1 of 3 images were not segmented:\n.*inside.nii.gz: 1 voxels are NaN"):
        api.apply(model, [tmp_path / n for n in ("hot.nii.gz", "inside.nii.gz", "ct.nii.gz")], tmp_path / "out")
    assert [words for words in told(tmp_path / "out") if words.startswith("hot: the image has 1 voxel of up to 1e+09")]
    found = [sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / f"{n}.seg.nrrd"))) for n in ("hot", "ct")]
    assert found[1].any() and (found[0] != found[1]).mean() < 1e-3
    assert not (tmp_path / "out" / "inside.seg.nrrd").exists()


@pytest.mark.skipif(not CASES.is_dir(), reason="needs the inputs of others")
def test_inputs_from_reports(model: Path, tmp_path: Path) -> None:
    odd = [CASES / "nan_inf_image" / "nan.nrrd", CASES / "nan_inf_image" / "inf.nrrd"]
    odd += [CASES / "apply_odd" / "cine4d.nii.gz", CASES / "five_axes" / "images" / "c0.nii.gz"]
    (tmp_path / "frame").mkdir()
    frame = tmp_path / "frame" / "frame.nii.gz"
    frame.write_bytes((CASES / "apply_odd" / "nan.nii.gz").read_bytes())
    with pytest.raises(DataError) as failed:
        api.apply(model, [*odd, frame], tmp_path / "out", device="cpu")
    text = str(failed.value)
    assert text.startswith("2 of 5 images were not segmented")
    assert "cine4d.nii.gz: The image has 5 channels and the model needs 1" in text and "each time point" in text
    assert "c0.nii.gz: The image has 3 channels" in text
    filled = [words for words in told(tmp_path / "out") if "NaN or infinite at the border" in words]
    assert sorted(words.split(":")[0] for words in filled) == ["frame", "inf", "nan"]
    written = [path.name for path in (tmp_path / "out").glob("*.nrrd")]
    assert sorted(written) == ["frame.seg.nrrd", "inf.seg.nrrd", "nan.seg.nrrd"]
