"""BIDS folders: which label map belongs to which images, and what its values mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Dataset, IncompleteError
from MedSegTrainerLib.data.layouts.bids_names import parse_name
from MedSegTrainerLib.data.layouts.bids_table import read_table, table_text
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.patients import patients_of
from MedSegTrainerLib.errors import DataError

MANUAL = "derivatives/manual"


def put(root: Path, *names: str, values: tuple[int, ...] = (1, 2), spacing: float = 1.0) -> None:
    """Small volumes; ``values``: of the first voxels."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.zeros((3, 4, 5), np.uint8)
        array.flat[: len(values)] = values
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((spacing, 1.2, 3.0))
        sitk.WriteImage(image, str(path))


def subject(number: int, name: str, *, session: str = "", folder: str = "") -> str:
    """Path of a file of a subject: ``name`` is what follows subject and session."""
    start = f"sub-0{number}" + (f"_ses-{session}" if session else "")
    return "/".join(filter(None, (folder, f"sub-0{number}", session and f"ses-{session}", "anat", f"{start}_{name}")))


def files(dataset: Dataset) -> dict[str, tuple[list[str], str]]:
    return {case.name: ([p.name for p in case.images], case.label.name) for case in dataset.cases}


def test_label_maps_in_derivatives(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        put(tmp_path, subject(number, "T1w.nii.gz"))
    for number in (1, 2):
        put(tmp_path, subject(number, "dseg.nii.gz", folder=MANUAL))
    (tmp_path / MANUAL / "dseg.tsv").write_text(
        "index\tname\tcolor\n0\tbackground\t#000000\n1\tliver\t#10ff20\n2\tcyst\n"
    )
    dataset = find_cases(tmp_path)
    assert dataset.layout == "BIDS (T1w; 2 of 3 subjects have label maps)"
    assert files(dataset) == {f"sub-0{n}": ([f"sub-0{n}_T1w.nii.gz"], f"sub-0{n}_dseg.nii.gz") for n in (1, 2)}
    assert (dataset.label_names, dataset.channel_names) == ({1: "liver", 2: "cyst"}, ("T1w",))
    assert dataset.looks["liver"].color == (16, 255, 32)


def test_sessions_and_runs_are_cases_of_one_patient(tmp_path: Path) -> None:
    for session in ("a", "b"):
        for run in (1, 2):
            put(tmp_path, subject(1, f"run-{run}_T2w.nii.gz", session=session))
            put(tmp_path, subject(1, f"run-{run}_desc-manual_dseg.nii.gz", session=session, folder=MANUAL))
    dataset = find_cases(tmp_path)
    assert files(dataset)["sub-01_ses-b_run-2"] == (
        ["sub-01_ses-b_run-2_T2w.nii.gz"],
        "sub-01_ses-b_run-2_desc-manual_dseg.nii.gz",
    )
    assert set(patients_of(dataset.cases, DataConfig()).values()) == {"sub-01"}
    assert len(dataset.cases) == 4


class TestWhichImages:
    def test_of_several_kinds_those_on_the_grid(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "T1w.nii.gz"), subject(1, "FLAIR.nii.gz"), subject(1, "dseg.nii.gz", folder=MANUAL))
        put(tmp_path, subject(1, "T2w.nii.gz"), spacing=0.5)
        assert files(find_cases(tmp_path))["sub-01"][0] == ["sub-01_FLAIR.nii.gz", "sub-01_T1w.nii.gz"]

    def test_that_of_the_space(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "T1w.nii.gz"), subject(1, "T2w.nii.gz"))
        put(tmp_path, subject(1, "space-T2w_dseg.nii.gz", folder=MANUAL))
        assert files(find_cases(tmp_path))["sub-01"][0] == ["sub-01_T2w.nii.gz"]

    def test_those_that_the_sidecar_names(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "T1w.nii.gz"), subject(1, "T2w.nii.gz"), subject(1, "dseg.nii.gz", folder=MANUAL))
        sidecar = tmp_path / subject(1, "dseg.json", folder=MANUAL)
        sidecar.write_text(json.dumps({"Sources": ["bids:raw:sub-01/anat/sub-01_T2w.nii.gz"]}))
        assert files(find_cases(tmp_path))["sub-01"][0] == ["sub-01_T2w.nii.gz"]

    def test_those_of_the_settings(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "acq-fast_T1w.nii.gz"), subject(1, "acq-slow_T1w.nii.gz"), subject(1, "FLAIR.nii.gz"))
        put(tmp_path, subject(1, "dseg.nii.gz", folder=MANUAL))
        dataset = find_cases(tmp_path, DataConfig(image_names=["FLAIR", "acq-slow_T1w"]))
        assert files(dataset)["sub-01"][0] == ["sub-01_FLAIR.nii.gz", "sub-01_acq-slow_T1w.nii.gz"]

    def test_masks_are_no_images(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "desc-preproc_T1w.nii.gz"), subject(1, "desc-brain_mask.nii.gz"))
        put(tmp_path, subject(1, "label-GM_probseg.nii.gz"), subject(1, "dseg.nii.gz"))
        assert files(find_cases(tmp_path))["sub-01"][0] == ["sub-01_desc-preproc_T1w.nii.gz"]


class TestWhichLabelMap:
    def both(self, root: Path) -> None:
        put(root, subject(1, "T1w.nii.gz"))
        put(root, *(subject(1, f"desc-{name}_dseg.nii.gz", folder=MANUAL) for name in ("aseg", "manual")))

    def test_the_one_of_the_settings(self, tmp_path: Path) -> None:
        self.both(tmp_path)
        found = find_cases(tmp_path, DataConfig(label_name="desc-manual"))
        assert files(found)["sub-01"][1] == "sub-01_desc-manual_dseg.nii.gz"

    def test_of_several_nobody_knows(self, tmp_path: Path) -> None:
        self.both(tmp_path)
        with pytest.raises(DataError) as caught:
            find_cases(tmp_path)
        assert "1 cases have several label maps, such as sub-01" in str(caught.value)
        assert "--set label_name=desc-aseg_dseg" in str(caught.value)

    def test_one_in_the_space_of_a_template_is_none_of_the_image(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "T1w.nii.gz"), subject(1, "dseg.nii.gz", folder=MANUAL))
        put(tmp_path, subject(1, "space-MNI152NLin2009cAsym_dseg.nii.gz", folder=MANUAL))
        assert files(find_cases(tmp_path))["sub-01"][1] == "sub-01_dseg.nii.gz"

    def test_other_names_by_the_settings(self, tmp_path: Path) -> None:
        """ISLES 2022 ends the names of its masks in msk."""
        put(tmp_path, subject(1, "FLAIR.nii.gz"), subject(1, "msk.nii.gz", folder="derivatives"))
        assert files(find_cases(tmp_path, DataConfig(label_name="msk")))["sub-01"][1] == "sub-01_msk.nii.gz"

    def test_folders_of_cases_named_alike_are_still_such(self, tmp_path: Path) -> None:
        put(tmp_path, "sub-01/image.nii.gz", "sub-01/sub-01_mask.nii.gz")
        for data in (DataConfig(), DataConfig(label_name="mask")):
            assert find_cases(tmp_path, data).layout == "a folder for each case"


class TestTables:
    def test_the_nearest_of_those_that_fit(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "T1w.nii.gz"), subject(1, "desc-aseg_dseg.nii.gz", folder=MANUAL), values=(1, 17))
        for name, classes in (("dseg", "1\tother"), ("desc-aseg_dseg", "17\thippocampus\n3\tcortex\n1\tvein")):
            (tmp_path / MANUAL / f"{name}.tsv").write_text(f"index\tname\n{classes}\n")
        (tmp_path / MANUAL / "desc-manual_dseg.tsv").write_text("index\tname\n1\twrong\n")
        assert find_cases(tmp_path).label_names == {1: "vein", 17: "hippocampus"}

    def test_text_is_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "dseg.tsv"
        path.write_text(
            "\ufeffindex\tname\tabbreviation\tcolor\n0\tbg\tb\t\n2\tleft kidney\tlk\t#0A0B0C\n-1\tvoid\tv\tred\n"
        )
        classes = read_table(path)
        assert [(item.value, item.name) for item in classes] == [(2, "left kidney"), (-1, "void")]
        assert classes[0].color == (10, 11, 12)
        path.write_text(table_text(classes))
        assert read_table(path) == classes

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("name\tvalue\nliver\t1\n", "row 1 needs an 'index'"),
            ("index\tname\n1.5\tliver\n", "row 1 needs an 'index'"),
            ("index\tname\n1\tliver\n1\tspleen\n", "two rows have one index or one name"),
            ("index\tname\n1\tliver\n2\tliver\n", "two rows have one index or one name"),
        ],
    )
    def test_tables_that_are_none(self, tmp_path: Path, text: str, says: str) -> None:
        (tmp_path / "dseg.tsv").write_text(text)
        with pytest.raises(DataError, match=says):
            read_table(tmp_path / "dseg.tsv")

    def test_tables_that_differ(self, tmp_path: Path) -> None:
        for number, name in ((1, "liver"), (2, "spleen")):
            put(tmp_path, subject(number, "T1w.nii.gz"), subject(number, "dseg.nii.gz", folder=MANUAL))
            (tmp_path / subject(number, "dseg.tsv", folder=MANUAL)).write_text(f"index\tname\n1\t{name}\n")
        with pytest.raises(DataError, match="1 is 'spleen', and 'liver' in another table"):
            find_cases(tmp_path)


class TestWrong:
    def error(self, root: Path, **settings: Any) -> str:
        with pytest.raises(DataError) as caught:
            find_cases(root, DataConfig(**settings))
        assert str(root) in str(caught.value)
        return str(caught.value)

    def test_a_label_map_without_image(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "T1w.nii.gz"))
        put(tmp_path, *(subject(n, "dseg.nii.gz", folder=MANUAL) for n in (1, 2)))
        with pytest.raises(IncompleteError, match="1 label maps have no image: sub-02") as caught:
            find_cases(tmp_path)
        assert [case.name for case in caught.value.dataset.cases] == ["sub-01"]

    def test_images_of_several_acquisitions(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "acq-a_T1w.nii.gz"), subject(1, "acq-b_T1w.nii.gz"))
        put(tmp_path, subject(1, "dseg.nii.gz", folder=MANUAL))
        message = self.error(tmp_path)
        assert "may belong to several images: sub-01_acq-a_T1w.nii.gz, sub-01_acq-b_T1w.nii.gz" in message
        assert """--set 'image_names=["acq-a_T1w"]'""" in message

    def test_different_kinds(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "T1w.nii.gz"), subject(1, "FLAIR.nii.gz"), subject(2, "T1w.nii.gz"))
        put(tmp_path, *(subject(n, "dseg.nii.gz", folder=MANUAL) for n in (1, 2)))
        assert "the cases have different images: FLAIR, T1w in sub-01, T1w in sub-02" in self.error(tmp_path)

    def test_a_name_that_is_nowhere(self, tmp_path: Path) -> None:
        put(tmp_path, subject(1, "T1w.nii.gz"), subject(1, "desc-a_dseg.nii.gz", folder=MANUAL))
        message = self.error(tmp_path, label_name="desc-b")
        assert "no label map is named desc-b. There are desc-a_dseg" in message


@pytest.mark.parametrize(
    "name", ["sub-01", "T1w", "ses-1_T1w", "sub-01_ses_T1w", "sub-01_sub-02_T1w", "sub-_T1w", "a b"]
)
def test_names_that_are_none_of_bids(name: str) -> None:
    assert parse_name(name) is None
