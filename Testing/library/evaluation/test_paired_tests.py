"""Tests and effect sizes of paired differences, against scipy's and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from MedSegTrainerLib.evaluation.paired_tests import compare_pairs, holm, rank_biserial, wilcoxon_p


def draw(seed: int, n: int, shift: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, n)


class TestWilcoxon:
    @pytest.mark.parametrize("n", [2, 5, 12, 50])
    def test_exact_without_ties_as_scipy(self, n: int) -> None:
        values = draw(n, n)
        assert wilcoxon_p(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue, rel=1e-9)

    def test_approximate_for_many_as_scipy(self) -> None:
        values = draw(1, 80)
        expected = stats.wilcoxon(values, method="asymptotic", correction=True).pvalue
        assert wilcoxon_p(values) == pytest.approx(expected)
        assert wilcoxon_p(values[:50]) == pytest.approx(
            stats.wilcoxon(values[:50], method="asymptotic", correction=True).pvalue, abs=5e-3
        )

    def test_ties_as_all_signs_counted(self) -> None:
        values = np.array([0.1, 0.1, -0.1, 0.3, 0.3, 0.2, -0.2, 0.4])
        every = stats.PermutationMethod(n_resamples=np.inf)
        assert wilcoxon_p(values) == pytest.approx(stats.wilcoxon(values, method=every).pvalue, rel=1e-9)

    def test_pairs_without_difference_are_left_out(self) -> None:
        values = draw(3, 9)
        assert wilcoxon_p(np.append(values, [0.0, 0.0])) == wilcoxon_p(values)
        assert wilcoxon_p(np.zeros(4)) == 1

    def test_five_of_five_are_not_enough(self) -> None:
        assert wilcoxon_p(np.arange(1.0, 6)) == 2 / 2**5
        assert wilcoxon_p(np.arange(1.0, 7)) == 2 / 2**6


class TestRankBiserial:
    def test_by_hand(self) -> None:
        """Ranks 1, 2, 3, 4: 3 is below 0."""
        assert rank_biserial(np.array([0.1, 0.2, -0.3, 0.4])) == pytest.approx((1 + 2 + 4 - 3) / 10)

    def test_ends_and_nothing(self) -> None:
        assert rank_biserial(np.array([0.1, 0.5, 0.0])) == 1
        assert rank_biserial(np.array([-0.1, -0.5])) == -1
        assert rank_biserial(np.zeros(3)) is None


class TestHolm:
    def test_by_hand(self) -> None:
        """Sorted 0.01, 0.03, 0.04 times 3, 2, 1, and never below the one before."""
        corrected = holm({"a": 0.04, "b": 0.01, "c": 0.03})
        assert corrected == {"a": pytest.approx(0.06), "b": pytest.approx(0.03), "c": pytest.approx(0.06)}

    def test_unknown_does_not_count_and_one_is_the_most(self) -> None:
        assert holm({"a": 0.5, "b": None, "c": 0.7}) == {"a": 1.0, "b": None, "c": 1.0}


class TestComparePairs:
    def test_numbers_as_scipy_and_by_hand(self) -> None:
        values = draw(4, 20)
        result = compare_pairs(values.tolist(), seed=0)
        assert result.mean == pytest.approx(values.mean())
        assert result.median == pytest.approx(np.median(values))
        assert result.p_t == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
        assert result.cohen_dz == pytest.approx(values.mean() / values.std(ddof=1))
        assert result.p_wilcoxon == wilcoxon_p(np.round(values, 12))
        assert (result.above, result.below, result.equal) == ((values > 0).sum(), (values < 0).sum(), 0)

    def test_interval_is_that_of_the_seed_and_near_the_t_interval(self) -> None:
        values = draw(5, 60)
        actual, again = compare_pairs(values.tolist(), seed=7), compare_pairs(values.tolist(), seed=7)
        other = compare_pairs(values.tolist(), seed=8)
        assert (actual.low, actual.high) == (again.low, again.high) != (other.low, other.high)
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (actual.low, actual.high) == (
            pytest.approx(expected.low, abs=0.05),
            pytest.approx(expected.high, abs=0.05),
        )

    def test_rounding_errors_are_no_differences(self) -> None:
        result = compare_pairs([0.3 - (0.1 + 0.2), 0.7 - (0.1 + 0.6), 0.0], seed=0)
        assert (result.equal, result.p_wilcoxon, result.std) == (3, 1.0, 0.0)
        assert result.p_t is result.cohen_dz is result.low is result.rank_biserial is None

    def test_equal_differences_have_no_t_test(self) -> None:
        result = compare_pairs([0.1] * 8, seed=0)
        assert (result.std, result.p_t, result.cohen_dz, result.low) == (0, None, None, None)
        assert result.p_wilcoxon == 2 / 2**8

    def test_few_pairs(self) -> None:
        nothing, one, five = (compare_pairs(draw(6, n).tolist(), seed=0) for n in (0, 1, 5))
        assert (nothing.n, nothing.mean, nothing.p_wilcoxon) == (0, None, None)
        assert one.mean is not None and one.std is one.p_wilcoxon is one.p_t is None
        assert five.p_t is not None and five.low is None
        assert compare_pairs(draw(6, 6).tolist(), seed=0).low is not None
