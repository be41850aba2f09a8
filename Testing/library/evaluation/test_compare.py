"""Two evaluations paired by case and class: the numbers, the words, the files, and what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSegTrainerLib import api
from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.errors import ConfigError, DataError, UsageError
from MedSegTrainerLib.evaluation.compare import compare, comparison
from MedSegTrainerLib.evaluation.paired_tests import compare_pairs
from MedSegTrainerLib.metrics.metrics import METRICS

Values = dict[str, dict[str, dict[str, float | None]]]
CASES = [f"case {index:02d}" for index in range(20)]
NOISE = np.random.default_rng(1).normal(0, 0.01, len(CASES))


def numbers(dice: float | None, hd95: float | None = 2.0) -> dict[str, float | None]:
    """All metrics of a class that was found, with these two."""
    return {**dict.fromkeys(METRICS, 0.5), "volume_ml": 10.0, "dice": dice, "hd95_mm": hd95}


def cases(gain: float, names: list[str] = CASES) -> Values:
    return {
        name: {
            "liver": numbers(0.8 + gain + noise, 2.0 - 10 * (gain + noise)),
            "spleen": numbers(0.7 - noise),
        }
        for name, noise in zip(names, NOISE, strict=False)
    }


def save(path: Path, values: Values | None, **other: Any) -> Path:
    names = dict.fromkeys(name for case in (values or {}).values() for name in case)
    document = {
        "schema_version": 1,
        "metrics": list(METRICS),
        "surface_tolerance_mm": 1.0,
        "classes": [{"value": i, "name": name, "color": [200, 40 * i, 60]} for i, name in enumerate(names, start=1)],
        **({} if values is None else {"cases": values}),
        **other,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path.parent


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The document for two sets of numbers, without its files."""

    def compare_values(first: Values, second: Values, **settings: Any) -> dict[str, Any]:
        sides = [save(tmp_path / name / "metrics.json", values) for name, values in (("a", first), ("b", second))]
        return comparison(*sides, **settings)

    return compare_values


class TestClassesThatWereNotDrawn:
    def test_pairs_are_of_cases_in_which_it_was_drawn(self, tmp_path: Path) -> None:
        """And it is told where the two disagree on that."""
        first, second = cases(0), cases(0.05)
        for name in CASES[:5]:
            second[name]["liver"] = dict.fromkeys(METRICS)
        gone = {name: ["liver"] for name in CASES[:5]}
        sides = (
            save(tmp_path / "a" / "metrics.json", first),
            save(tmp_path / "b" / "metrics.json", second, not_drawn=gone),
        )
        document = comparison(*sides)
        assert document["results"]["dice"]["classes"]["liver"]["n"] == 15
        assert document["results"]["dice"]["classes"]["spleen"]["n"] == 20
        assert document["outcomes"]["liver"][1] == {"found": 15, "missed": 0, "extra": 0}
        assert "A and B do not agree on which classes were drawn in case 00, case 01" in " ".join(document["notes"])
        save(tmp_path / "a" / "metrics.json", second, not_drawn=gone)
        assert "drawn" not in " ".join(comparison(*sides)["notes"])

    def test_a_damaged_list_is_refused(self, tmp_path: Path) -> None:
        sides = [save(tmp_path / name / "metrics.json", cases(0), not_drawn=7) for name in "ab"]
        with pytest.raises(UsageError, match="was damaged or changed: not_drawn"):
            comparison(*sides)


class TestNumbers:
    def test_differences_are_b_minus_a_by_case(self, run: Callable[..., dict[str, Any]]) -> None:
        better = cases(0.05)
        worst = "case 03"
        better[worst]["liver"]["dice"] = 0.1
        result = run(cases(0), dict(reversed(better.items())))["results"]["dice"]["classes"]["liver"]
        differences = {item["case"]: item["difference"] for item in result["cases"]}
        assert differences["case 00"] == pytest.approx(0.05)
        assert differences[worst] == pytest.approx(0.1 - 0.8 - NOISE[3])
        assert result["mean"] == pytest.approx(result["mean_b"] - result["mean_a"])
        assert (result["better"], result["worse"], result["equal"], result["n"]) == (19, 1, 0, 20)
        assert result["cases"][-1] == {
            "case": worst, "a": 0.8 + NOISE[3], "b": 0.1, "difference": differences[worst], "change": "worse",
        }  # fmt: skip

    def test_less_is_better_for_distances(self, run: Callable[..., dict[str, Any]]) -> None:
        better = cases(0.05)
        better["case 03"]["liver"]["hd95_mm"] = 40.0
        result = run(cases(0), better)["results"]["hd95_mm"]["classes"]["liver"]
        assert (result["better"], result["worse"]) == (19, 1)
        assert (result["cases"][0]["change"], result["cases"][-1]["case"]) == ("better", "case 03")
        assert result["cases"][0]["difference"] < 0 < result["cases"][-1]["difference"]

    def test_statistics_are_those_of_the_pairs_and_corrected_over_classes(
        self, run: Callable[..., dict[str, Any]]
    ) -> None:
        second = cases(0)
        for index, case in enumerate(CASES):
            second[case]["liver"]["dice"] += 0.01 * (index - 4)  # type: ignore[operator]
            second[case]["spleen"]["dice"] += 0.01 * (index - 5)  # type: ignore[operator]
        classes = run(cases(0), second, seed=3)["results"]["dice"]["classes"]
        expected = compare_pairs([0.01 * (index - 4) for index in range(20)], seed=3)
        for key in ("p_wilcoxon", "p_t", "cohen_dz", "rank_biserial", "low", "high"):
            assert classes["liver"][key] == pytest.approx(getattr(expected, key))
        assert classes["liver"]["p_wilcoxon_holm"] == 2 * classes["liver"]["p_wilcoxon"]
        assert classes["spleen"]["p_t_holm"] == classes["spleen"]["p_t"]

    def test_overall_is_of_the_means_over_classes(self, run: Callable[..., dict[str, Any]]) -> None:
        overall = run(cases(0), cases(0.05))["results"]["dice"]["overall"]
        assert overall["mean"] == pytest.approx(0.025)
        assert overall["mean_a"] == pytest.approx(0.75)

    def test_a_number_that_one_side_lacks_is_left_out_and_counted(self, run: Callable[..., dict[str, Any]]) -> None:
        second = cases(0.05)
        second["case 02"]["liver"] |= {"dice": 0.0, "precision": None, "hd95_mm": None}
        document = run(cases(0), second)
        results = document["results"]
        assert (results["hd95_mm"]["classes"]["liver"]["n"], results["hd95_mm"]["classes"]["liver"]["left_out"]) == (
            19,
            1,
        )
        assert results["dice"]["classes"]["liver"]["n"] == 20
        first, second_outcomes = document["outcomes"]["liver"]
        assert (first["found"], first["missed"]) == (20, 0)
        assert (second_outcomes["found"], second_outcomes["missed"]) == (19, 1)

    def test_absent_on_both_sides_is_not_left_out(self, run: Callable[..., dict[str, Any]]) -> None:
        both = cases(0), cases(0.05)
        for side in both:
            side["case 02"]["liver"] = dict.fromkeys(METRICS)
        liver = run(*both)["results"]["dice"]["classes"]["liver"]
        assert (liver["n"], liver["left_out"]) == (19, 0)

    def test_verdicts(self, run: Callable[..., dict[str, Any]]) -> None:
        def verdict(first: Values, second: Values, metric: str = "dice") -> str:
            return run(first, second)["results"][metric]["classes"]["liver"]["verdict"]

        assert verdict(cases(0), cases(0.05)) == "B is better"
        assert verdict(cases(0.05), cases(0)) == "B is worse"
        assert verdict(cases(0), cases(0.05), "hd95_mm") == "B is better"
        assert verdict(cases(0), cases(0)) == "no clear difference"
        assert verdict(cases(0, CASES[:5]), cases(0.05, CASES[:5])) == "too few cases to tell"
        loses = cases(0.01)
        loses["case 00"]["liver"]["dice"] = 0.0
        assert verdict(cases(0), loses) == "better in most cases, worse on average"


class TestWords:
    def test_what_only_one_has_is_said(self, run: Callable[..., dict[str, Any]]) -> None:
        second = cases(0.05, [*CASES[1:], "new"])
        for case in second.values():
            case["kidney"] = numbers(0.5)
        document = run(cases(0), second)
        assert (document["only_in_a"], document["only_in_b"]) == (["case 00"], ["new"])
        assert document["cases"] == CASES[1:]
        assert "Cases that only A has, left out: case 00." in document["notes"]
        assert "Cases that only B has, left out: new." in document["notes"]
        assert "Classes that only B has, left out: kidney." in document["notes"]

    @pytest.mark.parametrize("count, text", [(1, "no sample"), (3, "p below 0.25"), (9, "9 cases are few")])
    def test_few_cases(self, run: Callable[..., dict[str, Any]], count: int, text: str) -> None:
        assert any(text in note for note in run(cases(0, CASES[:count]), cases(0.05, CASES[:count]))["notes"])

    def test_enough_cases_and_the_same_references_need_no_words(self, run: Callable[..., dict[str, Any]]) -> None:
        assert run(cases(0), cases(0.05))["notes"] == []

    def test_other_references(self, run: Callable[..., dict[str, Any]]) -> None:
        second = cases(0.05)
        second["case 04"]["spleen"]["volume_ml"] = 10.1
        assert any("volumes differ in case 04." in note for note in run(cases(0), second)["notes"])

    def test_other_tolerances_leave_surface_dice_out(self, tmp_path: Path) -> None:
        first = save(tmp_path / "a" / "metrics.json", cases(0))
        second = save(tmp_path / "b" / "metrics.json", cases(0), surface_tolerance_mm=2.0)
        document = comparison(first, second)
        assert "surface_dice" not in document["metrics"]
        assert any("different tolerances" in note for note in document["notes"])
        with pytest.raises(UsageError, match="surface_dice"):
            comparison(first, second, metrics=["nsd"])


class TestWhatIsRead:
    def test_folders_files_and_jobs_are_named_by_what_differs(self, tmp_path: Path) -> None:
        save(tmp_path / "one" / "report" / "metrics.json", cases(0))
        save(tmp_path / "two" / "metrics.json", cases(0.05))
        job, file = tmp_path / "one", tmp_path / "two" / "metrics.json"
        document = comparison(job, file)
        assert (document["a"]["name"], document["b"]["name"]) == ("one", "two")
        assert document["a"]["path"] == str(tmp_path / "one" / "report" / "metrics.json")
        reports = comparison(job / "report", file)
        assert (reports["a"]["name"], reports["results"]) == ("one", document["results"])

    def test_only_the_metrics_asked_for_in_that_order(self, run: Callable[..., dict[str, Any]]) -> None:
        document = run(cases(0), cases(0.05), metrics=["hd95", "F1"])
        assert document["metrics"] == list(document["results"]) == ["hd95_mm", "dice"]

    def test_volumes_have_no_better(self, run: Callable[..., dict[str, Any]]) -> None:
        assert not {"volume_ml", "predicted_volume_ml"} & {*run(cases(0), cases(0.05))["metrics"]}
        with pytest.raises(UsageError, match=r"volume_ml.*Known to both: dice"):
            run(cases(0), cases(0.05), metrics=["volume"])
        with pytest.raises(ConfigError, match="'dise' is no metric"):
            run(cases(0), cases(0.05), metrics=["dise"])

    def test_no_common_case_or_class(self, run: Callable[..., dict[str, Any]]) -> None:
        with pytest.raises(DataError, match=r"no case in common\. A has case 00, .* and 15 more; B has x, y."):
            run(cases(0), cases(0, ["x", "y"]))
        lungs = {name: {"lung": numbers(0.5)} for name in CASES}
        with pytest.raises(DataError, match=r"no class in common\. A has liver, spleen; B has lung"):
            run(cases(0), lungs)

    def test_what_is_no_evaluation(self, tmp_path: Path) -> None:
        good = save(tmp_path / "good" / "metrics.json", cases(0))
        (tmp_path / "empty").mkdir()
        (tmp_path / "torn.json").write_text('{"schema', encoding="utf-8")
        (tmp_path / "other.json").write_text("[1]", encoding="utf-8")
        save(tmp_path / "means" / "metrics.json", None)
        save(tmp_path / "future" / "metrics.json", cases(0), schema_version=2)
        problems = {
            "nowhere": "does not exist", "empty": "neither metrics.json nor", "torn.json": "not valid JSON",
            "other.json": "no metrics.json", "means": "per_case=true", "future": "schema_version: 2",
            "good/metrics.json": "same evaluation",
        }  # fmt: skip
        for name, text in problems.items():
            with pytest.raises(UsageError, match=text):
                compare(good, tmp_path / name, tmp_path / "out")
            assert not (tmp_path / "out").exists()


class TestFiles:
    def test_they_hold_the_same_numbers(self, tmp_path: Path) -> None:
        sides = [save(tmp_path / f"{gain}" / "metrics.json", cases(gain)) for gain in (0, 0.05)]
        out = tmp_path / "new" / "out"
        document = compare(*sides, out, metrics=["dice", "hd95"])
        assert sorted(path.name for path in out.iterdir()) == ["compare.csv", "compare.html", "compare.json"]
        assert json.loads((out / "compare.json").read_text(encoding="utf-8")) == document
        with (out / "compare.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == len(document["metrics"]) * 2 * 20
        first = document["results"]["dice"]["classes"]["liver"]["cases"][0]
        assert (rows[0]["metric"], rows[0]["class"], rows[0]["case"]) == ("dice", "liver", first["case"])
        assert float(rows[0]["difference"]) == first["difference"]
        assert rows[0]["change"] == "better"

    def test_from_the_command_line_and_from_python(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        sides = [save(tmp_path / f"{gain}" / "metrics.json", cases(gain)) for gain in (0, 0.05)]
        out = tmp_path / "out"
        options = ["-o", str(out), "--metric", "nsd", "--metric", "dice", "--seed", "4"]
        with pytest.raises(SystemExit) as ended:
            main(["compare", *map(str, sides), *options])
        assert ended.value.code == 0
        assert f"Report: {out / 'compare.html'}" in capsys.readouterr().out
        written = json.loads((out / "compare.json").read_text(encoding="utf-8"))
        assert (written["metrics"], written["seed"], written["surface_tolerance_mm"]) == (
            ["surface_dice", "dice"],
            4,
            1,
        )
        again = api.compare(*sides, out, metrics=["nsd", "dice"], seed=4)
        assert again["results"] == written["results"]

    def test_what_is_refused_ends_with_2_or_1(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        sides = [save(tmp_path / name / "metrics.json", cases(0, [name])) for name in ("x", "y")]
        for second, code in ((sides[1], 1), (sides[0], 2)):
            with pytest.raises(SystemExit) as ended:
                main(["compare", str(sides[0]), str(second), "-o", str(tmp_path / "out")])
            assert ended.value.code == code
            assert "Traceback" not in capsys.readouterr().err

    def test_the_same_seed_gives_the_same_file(self, run: Callable[..., dict[str, Any]]) -> None:
        one, two = (run(cases(0), cases(0.05), metrics=["dice"], seed=5) for _ in range(2))
        assert one["results"] == two["results"]
