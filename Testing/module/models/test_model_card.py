import json
import os
import time
import zipfile

import pytest
from MedSegTrainerUI.models.model_card import card_html, card_tooltip, model_stamp, read_card, when
from MedSegTrainerUI.models.model_list import model_name

from MedSegTrainerLib.errors import ModelError


def zipped(folder, path, names=("model.json", "weights.safetensors")):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.write(folder / name, f"inside/{name}")
    return path


class TestReading:
    def test_of_a_folder(self, make_model):
        card = read_card(make_model())
        assert [(item.name, item.value, item.color) for item in card.classes] == [
            ("liver", 1, (221, 130, 101)), ("tumor", 2, (144, 238, 144)),
        ]  # fmt: skip
        assert card.channels == ("CT",) and card.spacing == (2.5, 1.1, 0.8) and card.mirrors
        assert (card.trained, card.held_out) == (3, 1)
        assert card.dice == {"liver": 0.94, "tumor": 0.8} and card.mean_dice == pytest.approx(0.87)

    def test_of_a_job_and_of_a_zip(self, make_model, tmp_path):
        folder = make_model("job/model")
        archive = zipped(folder, tmp_path / "model.zip")
        for path in (folder.parent, archive):
            card = read_card(path)
            assert card.path == path and [item.name for item in card.classes] == ["liver", "tumor"]

    def test_the_final_numbers_count_before_those_of_the_validation(self, make_model):
        summary = {"liver": {"dice": {"mean": 0.9}}, "tumor": {"dice": {"mean": None}}}
        metrics = {
            "val_dice_per_class": {"liver": 0.1},
            "summary": summary,
            "test_cases": ["x", "y"],
            "measured_on": "test",
        }
        card = read_card(make_model(metrics=metrics))
        assert card.dice == {"liver": 0.9, "tumor": None} and card.mean_dice == 0.9 and card.held_out == 2

    def test_without_numbers_it_is_said_so(self, make_model):
        card = read_card(make_model(metrics={}))
        assert card.mean_dice is None and "was not measured" in card_html(card)


class TestLineage:
    def test_the_models_before_are_named_the_nearest_first(self, make_model):
        cases = {str(number): {"images": [], "label": "", "part": "train"} for number in range(3)}
        held_out = {"x": {"images": [], "label": "", "part": "val"}}
        first = {"name": "abdomen", "when": "2026-01-30", "dice": None, "classes": ["liver"], "cases": cases}
        second = {"name": "liver <2>", "when": "2026-03-01", "dice": 0.81, "classes": ["liver"],
                  "cases": {"a": cases["0"], **held_out}}  # fmt: skip
        card = read_card(make_model(training={"train_cases": ["a"], "val_cases": [], "lineage": [first, second]}))
        known = [(one.name, one.cases, one.dice) for one in card.lineage]
        assert known == [("liver <2>", 1, 0.81), ("abdomen", 3, None)]
        nearest, before = "liver &lt;2&gt; (2026-03-01, 1 volume, Dice 0.81)", "abdomen (2026-01-30, 3 volumes)"
        assert f"Started from {nearest}, that from {before}." in card_html(card)

    def test_a_model_that_began_from_nothing_has_none(self, make_model):
        card = read_card(make_model())
        assert card.lineage == () and "Started from" not in card_html(card)

    @pytest.mark.parametrize("lineage", [[{"name": "a"}], 5, [7], [{"name": "a", "when": "", "cases": [1]}]])
    def test_a_damaged_one_is_told(self, make_model, lineage):
        with pytest.raises(ModelError, match="its description is damaged"):
            read_card(make_model(training={"lineage": lineage}))


class TestNoModel:
    def test_each_case_says_what_to_do(self, make_model, make_job, tmp_path):
        empty = tmp_path / "empty"
        empty.mkdir()
        text = tmp_path / "report.zip"
        text.write_text("not a zip file at all")
        half = zipped(make_model("half"), tmp_path / "half.zip", ["model.json"])
        job = make_job("untrained").path
        for path, words in (
            (empty, "holds no model. Choose a folder with model.json"),
            (text, "it is not a zip file"),
            (half, "a zip file without a model"),
            (job, "untrained has made no model yet. Train it first"),
            (tmp_path / "gone", "is not there any more. Choose another one"),
        ):
            with pytest.raises(ModelError, match=words):
                read_card(path)

    @pytest.mark.parametrize(
        "text",
        ["[]", "{", '{"schema_version": 1}', '{"schema_version": 1, "plan": 3}', '"' + "[" * 9 + '"', "[" * 99999],
    )
    def test_a_damaged_description(self, make_model, text):
        folder = make_model()
        (folder / "model.json").write_text(text)
        with pytest.raises(ModelError, match="is no model of MedSegTrainer: its description is damaged"):
            read_card(folder)

    def test_another_format(self, make_model):
        with pytest.raises(ModelError, match=r"has model format 9, and this version reads 1\. Update"):
            read_card(make_model(schema_version=9))

    def test_a_truncated_zip(self, make_model, tmp_path):
        archive = zipped(make_model(), tmp_path / "model.zip")
        archive.write_bytes(archive.read_bytes()[:-40])
        with pytest.raises(ModelError, match="or a damaged one"):
            read_card(archive)


class TestOfNnunet:
    def test_a_folder_is_a_model(self, make_nnunet):
        folder = make_nnunet()
        card = read_card(folder)
        assert [(item.name, item.value) for item in card.classes] == [("liver", 1), ("cyst", 2)]
        assert (card.trained, card.imported, card.dims) == (7, "nnU-Net", 3)
        assert card.spacing == (1.1, 2.5, 0.8), "z, y, x of the file, although the network sees y first"
        assert "Trained with nnU-Net on 7 volumes (MR), 0.8 x 2.5 x 1.1 mm." in card_html(card)
        assert "was not told by nnU-Net" in card_html(card)
        assert model_stamp(folder) and model_stamp(folder) == model_stamp(folder.parent)

    def test_why_it_cannot_be_used_is_told(self, make_nnunet):
        folder = make_nnunet(image_reader_writer="MyReader")
        with pytest.raises(
            ModelError, match="an nnU-Net model that cannot be used here: image_reader_writer is 'MyReader'"
        ):
            read_card(folder)

    def test_it_is_named_after_its_data_set(self, make_nnunet):
        assert model_name(make_nnunet()) == "Dataset004_Organs, 3d_fullres"


class TestWords:
    def test_the_card_names_classes_colours_and_how_good(self, make_model):
        words = card_html(read_card(make_model()))
        assert "#dd8265" in words and "<b>liver</b> 0.94" in words and "<b>tumor</b> 0.80" in words
        assert "Mean Dice 0.87 on one volume it was not trained on." in words
        assert "on 3 volumes (CT), 0.8 x 1.1 x 2.5 mm." in words

    def test_names_cannot_be_tags(self, make_model):
        classes = [{"value": 1, "name": "<b>&", "color": [1, 2, 3]}]
        assert "&lt;b&gt;&amp;" in card_html(read_card(make_model(plan={"classes": classes})))

    def test_a_bad_model_is_called_so(self, make_model):
        metrics = {"val_dice_per_class": {"liver": 0.5, "tumor": 0.3}}
        assert "with care" in card_html(read_card(make_model(metrics=metrics)))

    def test_sixty_classes_are_not_all_in_the_card_but_in_the_tooltip(self, make_model):
        classes = [{"value": value, "name": f"rib {value}", "color": [1, 2, 3]} for value in range(1, 61)]
        card = read_card(make_model(plan={"classes": classes}))
        assert "and 48 more" in card_html(card) and "rib&nbsp;13" not in card_html(card)
        assert "rib 60" in card_tooltip(card)

    def test_images_are_told_in_pixels(self, make_model):
        assert "images of 320 x 256 pixels" in card_html(read_card(make_model(plan={"image_size": [256, 320]})))

    def test_when(self):
        now = time.time()
        assert when(now).startswith("today")
        assert when(now - 24 * 3600).startswith("yesterday")
        assert when(0.0) in ("1970-01-01", "1969-12-31")


def test_the_stamp_changes_with_the_model(make_model):
    folder = make_model()
    first = model_stamp(folder)
    os.utime(folder / "model.json", ns=(1, 1))
    assert first and model_stamp(folder) not in (None, first)
    (folder / "model.json").unlink()
    assert model_stamp(folder) is None
    assert json.dumps(first)
