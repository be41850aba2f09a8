"""What is known of results: the same are kept, those made by hand never go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.jobs.apply_record import ABSENT, BY_HAND, OTHER, SAME, ApplyRecord, model_checksum, recipe
from MedSegTrainerLib.model.package import ModelPackage
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.results_file import CaseResult, ClassResult

RESULT = CaseResult(
    name="a",
    label_map="a.nrrd",
    warnings=["a is unlike the training images"],
    likely_dice=0.8,
    low=0.6,
    high=0.9,
    classes=[ClassResult(name="liver", likely_dice=0.8, low=0.6, high=0.9, volume_ml=1421.3)],
)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A label map and a map in a folder below it, as written."""
    label_map, entropy = tmp_path / "a.nrrd", tmp_path / "uncertainty" / "a_entropy.nrrd"
    entropy.parent.mkdir()
    label_map.write_bytes(b"labels")
    entropy.write_bytes(b"unsure")
    return label_map, [entropy]


class TestApplyRecord:
    def test_the_same_recipe_is_the_same_result(self, tmp_path: Path, files: tuple[Path, list[Path]]) -> None:
        ApplyRecord(tmp_path).add(*files, "r1", RESULT)
        assert ApplyRecord(tmp_path).state(*files, "r1") == SAME
        assert ApplyRecord(tmp_path).state(*files, "r2") == OTHER

    def test_what_was_said_of_a_result_is_kept_while_it_is_as_it_was_made(
        self, tmp_path: Path, files: tuple[Path, list[Path]]
    ) -> None:
        ApplyRecord(tmp_path).add(*files, "r1", RESULT)
        assert ApplyRecord(tmp_path).result(files[0]) == RESULT
        assert ApplyRecord(tmp_path).kept_results() == [RESULT]
        files[0].write_bytes(b"LABELS")
        assert ApplyRecord(tmp_path).kept_results() == []

    def test_what_nobody_noted_was_made_by_hand(self, tmp_path: Path, files: tuple[Path, list[Path]]) -> None:
        assert ApplyRecord(tmp_path).state(*files, "r1") == BY_HAND
        files[0].unlink()
        assert ApplyRecord(tmp_path).state(*files, "r1") == BY_HAND  # the other file is left

    def test_what_was_changed_since_counts_as_made_by_hand(
        self, tmp_path: Path, files: tuple[Path, list[Path]]
    ) -> None:
        ApplyRecord(tmp_path).add(*files, "r1", RESULT)
        files[0].write_bytes(b"LABELS")  # of the same length
        assert ApplyRecord(tmp_path).state(*files, "r1") == BY_HAND

    def test_what_was_begun_may_be_made_again(self, tmp_path: Path, files: tuple[Path, list[Path]]) -> None:
        ApplyRecord(tmp_path).begin(files[1])
        files[0].unlink()
        assert ApplyRecord(tmp_path).state(*files, "r1") == ABSENT

    def test_a_missing_part_is_not_the_same(self, tmp_path: Path, files: tuple[Path, list[Path]]) -> None:
        ApplyRecord(tmp_path).add(*files, "r1", RESULT)
        files[1][0].unlink()
        assert ApplyRecord(tmp_path).state(*files, "r1") == OTHER

    def test_a_torn_line_is_passed_over(self, tmp_path: Path, files: tuple[Path, list[Path]]) -> None:
        ApplyRecord(tmp_path).add(*files, "r1", RESULT)
        with (tmp_path / "made.jsonl").open("ab") as stream:
            stream.write(b'{"label_map": "a.nr')
        ApplyRecord(tmp_path).add(files[0], [], "r2", RESULT)
        assert ApplyRecord(tmp_path).state(files[0], [], "r2") == SAME


class TestRecipe:
    def test_images_count_by_content_not_by_folder(self) -> None:
        settings, image = {"overlap": 0.5}, ("/a/x.nii", 10, 5)
        one = recipe(["m"], settings, [image])
        assert one == recipe(["m"], settings, [("/b/x.nii", 10, 5)])
        others = [
            (["m"], settings, ("/a/x.nii", 10, 6)),
            (["m"], {"overlap": 0.4}, image),
            (["m"] * 2, settings, image),
        ]
        assert one not in [recipe(models, changed, [stamp]) for models, changed, stamp in others]

    def test_weights_and_plan_make_the_model(self, tiny_plan: Plan) -> None:
        weights = build_network(tiny_plan.architecture, tiny_plan.network).state_dict()
        one = ModelPackage(plan=tiny_plan, weights=weights)
        name = next(iter(weights))
        changed = {**weights, name: weights[name] + 1}
        assert model_checksum(one) == model_checksum(replace(one, metrics={"val_dice": 1.0}))
        assert model_checksum(one) != model_checksum(replace(one, weights=changed))
        assert model_checksum(one) != model_checksum(replace(one, plan=replace(tiny_plan, spacing=(1.0, 1.0, 1.0))))
