"""The page of the data doctor and its pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.report.data_page import percent, render, short
from MedSegTrainerLib.report.data_pictures import draw_labelled, draw_patches

LIVER = LabelClass(value=1, name="liver <b>", color=(220, 40, 40))


def finding(case: str, severity: str = "warning", kind: str = "holes") -> dict[str, str]:
    return {"case": case, "severity": severity, "kind": kind, "message": "it <has> holes.", "remedy": "Mend & mind it."}


def document(*findings: dict[str, str], cases: int = 2) -> dict[str, Any]:
    counts = {
        severity: sum(one["severity"] == severity for one in findings) for severity in ("error", "warning", "note")
    }
    row = {
        "drawn": None,
        "counts": dict.fromkeys(counts, 0),
        "size": None,
        "spacing": None,
        "intensities": None,
        "labelled_ml": None,
    }
    sized = {**row, "size": [9, 12, 15], "spacing": [4.0, 1.5, 0.8], "intensities": [[0.0, 90.0]], "labelled_ml": 0.25}
    return {
        "title": "Check of A & B", "created": "2026-01-02 03:04", "data": "/d/<x>", "layout": "images/ and labels/",
        "counts": counts, "findings": list(findings), "samples_told": "",
        "classes": [{"value": 1, "name": "liver <b>", "color": [220, 40, 40], "cases": 2, "drawn": 1, "share": 0.0123,
                     "voxels_median": 1234.5, "ml_min": 0.1, "ml_median": 0.2, "ml_max": None}],
        "ranges": [{"name": "Size along z, voxels", "min": 9, "median": 9.5, "max": 10000}],
        "cases": [{**(sized if index else row), "name": f"case_{index}"} for index in range(cases)],
    }  # fmt: skip


class TestPage:
    def test_escapes_and_shows_everything(self) -> None:
        page = render(
            document(finding("case_1"), finding("", "note", "dust")), {"case_1": b"jpeg", "case_0": None}, b"s"
        )
        assert "Check of A &amp; B" in page and "/d/&lt;x&gt;" in page and "liver &lt;b&gt;" in page
        assert "It &lt;has&gt; holes." in page and "Mend &amp; mind it." in page
        assert ">all<" in page  # what is said of no case
        assert page.count("data:image/jpeg;base64,") == 2
        assert "No picture" in page
        assert "could not be used" in page and "9 x 12 x 15" in page and "10000" in page

    def test_says_what_was_drawn_where(self) -> None:
        partly = document(cases=3)
        partly["cases"][1]["drawn"] = []
        page = render(partly, {}, None)
        assert "drawn in 1 of 2" in page and "Not drawn" in page
        assert page.count('<td class="words">liver &lt;b&gt;</td>') == 1
        assert "Not drawn" not in render(document(cases=3), {}, None)

    def test_needs_nothing_from_elsewhere(self) -> None:
        page = render(document(), {}, None)
        assert "http" not in page and "src=" not in page and "<script" not in page
        assert "Nothing: every file can be read" in page

    def test_many_findings_of_a_kind_are_folded(self) -> None:
        page = render(document(*(finding(f"case_{i}") for i in range(13)), finding("x", "note", "dust")), {}, None)
        assert page.count("<details>") == 1
        assert "13 cases" in page
        assert page.index("Dust") < page.index("<details>")

    def test_the_verdict(self) -> None:
        assert "training would refuse this data" in render(document(finding("a", "error")), {}, None)
        assert "training would start" in render(document(finding("a")), {}, None)


@pytest.mark.parametrize(("value", "text"), [(None, ""), (0.123456, "0.1235"), (475400.2, "475400"), (3.0, "3")])
def test_short(value: float | None, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(("share", "text"), [(0.0123, "1.23%"), (0.00018, "0.018%"), (1.0, "100.00%")])
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


class TestPictures:
    def case(self, folder: Path, image: sitk.Image, label: sitk.Image) -> Case:
        for name, what in (("image", image), ("label", label)):
            sitk.WriteImage(what, str(folder / f"{name}.nrrd"))
        return Case(name="a", images=(folder / "image.nrrd",), label=folder / "label.nrrd")

    def colored(self, picture: bytes) -> int:
        """Pixels that are clearly red."""
        pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
        return int((pixels[..., 0] - pixels[..., 2] > 50).sum())

    def test_a_case(self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> None:
        image, label = oblique_case
        labelled = draw_labelled(self.case(tmp_path, image, label), [LIVER])
        assert Image.open(io.BytesIO(labelled)).size[0] == 900
        assert self.colored(labelled) > 3000
        assert self.colored(draw_labelled(self.case(tmp_path, image, label * 0), [LIVER])) < 50

    def test_a_label_map_on_another_grid_is_drawn_where_it_lies(
        self, oblique_case: tuple[sitk.Image, sitk.Image], oblique_geometry: Geometry, tmp_path: Path
    ) -> None:
        image, label = oblique_case
        expected = self.colored(draw_labelled(self.case(tmp_path, image, label), [LIVER]))
        finer = sitk.Expand(label, [2, 2, 2], sitk.sitkNearestNeighbor)
        assert self.colored(draw_labelled(self.case(tmp_path, image, finer), [LIVER])) == pytest.approx(
            expected, rel=0.2
        )
        label.SetOrigin((500.0, 500.0, 500.0))
        assert self.colored(draw_labelled(self.case(tmp_path, image, label), [LIVER])) < 50

    def test_unreadable_files_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="does not exist"):
            draw_labelled(Case(name="a", images=(tmp_path / "x.nrrd",), label=tmp_path / "y.nrrd"), [LIVER])

    @pytest.mark.parametrize("shape", [(4, 10, 12), (1, 10, 12)])
    def test_patches(self, generator: np.random.Generator, shape: tuple[int, int, int]) -> None:
        images, labels = generator.normal(size=(3, *shape)), np.zeros((3, *shape), np.int16)
        labels[:, 0, 3:7, 4:9] = 1
        plain = draw_patches((images, labels * 0), (images, labels * 0), (3.0, 1.0, 0.8), [LIVER])
        drawn = draw_patches((images, labels), (images, labels), (3.0, 1.0, 0.8), [LIVER])
        assert self.colored(plain) < 50
        assert self.colored(drawn) > 1000
