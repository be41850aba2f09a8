"""Windows that cover a volume, and their mixture against MONAI's."""

from __future__ import annotations

import itertools

import pytest
import torch
from monai.inferers import sliding_window_inference

from MedSegTrainerLib.inference.sliding_window import only_value, predict_slabs, predict_volume
from MedSegTrainerLib.inference.window_layout import Triple, gaussian_weights, window_starts


def image(*size: int, channels: int = 2) -> torch.Tensor:
    return torch.randn((channels, *size), generator=torch.Generator().manual_seed(8))


def identity(windows: torch.Tensor) -> torch.Tensor:
    return windows


def place_dependent(windows: torch.Tensor) -> torch.Tensor:
    """Another result for a voxel in each window it is seen through, as real networks give at borders."""
    across = torch.linspace(0, 1, windows.shape[-1])
    down = torch.linspace(-1, 1, windows.shape[-2])[:, None]
    return windows + 3 * across * down + windows.mean(dim=(2, 3, 4), keepdim=True)


class Recorder:
    """A network that remembers the windows it got."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(windows.shape))
        return windows


def predict(values: torch.Tensor, network: object, patch: Triple, **changes: object) -> torch.Tensor:
    options: dict[str, object] = {"classes": len(values), "overlap": 0.5, "batch": 3, **changes}
    return predict_volume(values, network, patch=patch, **options)  # type: ignore[arg-type]


class TestStarts:
    @pytest.mark.parametrize(
        ("shape", "window", "overlap"),
        list(
            itertools.product([(9, 30, 17), (5, 11, 40)], [(4, 8, 12), (1, 7, 5), (9, 11, 16)], [0.0, 0.25, 0.5, 0.9])
        ),
    )
    def test_every_voxel_is_covered_inside_the_volume_with_the_overlap(
        self, shape: Triple, window: Triple, overlap: float
    ) -> None:
        starts = window_starts(shape, window, overlap)
        seen = torch.zeros(shape)
        for z, y, x in starts:
            seen[z : z + window[0], y : y + window[1], x : x + window[2]] += 1
            assert all(s >= 0 for s in (z, y, x))
            assert all(s + w <= n or n < w for s, w, n in zip((z, y, x), window, shape, strict=True))
        assert int(seen.min()) >= 1
        for axis, size in enumerate(window):
            positions = sorted({start[axis] for start in starts})
            steps = [b - a for a, b in itertools.pairwise(positions)]
            assert max(steps, default=1) <= max(1, size * (1 - overlap)) + 1  # rounding may cost a voxel

    def test_one_window_where_the_volume_is_smaller(self) -> None:
        assert window_starts((3, 4, 5), (8, 8, 8), 0.5) == [(0, 0, 0)]

    def test_windows_are_spread_evenly(self) -> None:
        assert [x for _, _, x in window_starts((1, 1, 20), (1, 1, 8), 0.5)] == [0, 4, 8, 12]
        assert [x for _, _, x in window_starts((1, 1, 13), (1, 1, 8), 0.25)] == [0, 5]


class TestWeights:
    def test_symmetric_highest_in_the_middle_and_never_zero(self) -> None:
        weights = gaussian_weights((5, 9, 31), [(0, 0, 0), (2, 4, 15)], torch.device("cpu"))
        assert weights.shape == (5, 9, 31)
        torch.testing.assert_close(weights, weights.flip(0, 1, 2))
        assert float(weights[2, 4, 15]) == float(weights.max()) == 1.0
        assert float(weights.min()) > 0

    def test_an_axis_that_one_window_covers_is_not_faded(self) -> None:
        weights = gaussian_weights((5, 9, 31), [(0, 0, 0), (0, 4, 0)], torch.device("cpu"))
        assert torch.equal(weights, weights[:1, :, :1].expand(5, 9, 31))
        assert float(weights[0, 0, 0]) < float(weights[0, 4, 0])


class TestPredictVolume:
    @pytest.mark.parametrize("size", [(4, 21, 30), (9, 17, 13), (3, 40, 5), (2, 3, 4), (1, 1, 1)])
    @pytest.mark.parametrize("patch", [(4, 8, 12), (1, 8, 12)])
    @pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
    def test_what_is_done_to_each_voxel_alone_comes_back(self, size: Triple, patch: Triple, overlap: float) -> None:
        values = image(*size)
        logits = predict(values, lambda windows: 2 * windows + 1, patch, overlap=overlap)
        torch.testing.assert_close(logits, 2 * values + 1, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("patch", [(4, 16, 24), (1, 16, 24)])
    def test_against_monai(self, patch: Triple) -> None:
        """Windows and weights are MONAI's; apart from the smallest weights, which only count near the border."""
        values = image(patch[0], 48, 72)
        logits = predict(values, place_dependent, patch)
        expected = sliding_window_inference(
            values[None], patch, 2, place_dependent, overlap=0.5, mode="gaussian", sigma_scale=0.125
        )[0]  # fmt: skip
        middle = slice(patch[0] // 4, patch[0] - patch[0] // 4)
        inside = (slice(None), middle, slice(4, -4), slice(6, -6))
        assert float((logits - values)[inside].std()) > 0.2  # else there would be nothing to compare
        torch.testing.assert_close(logits[inside], expected[inside], atol=0.03, rtol=0)

    @pytest.mark.parametrize("batch", [1, 2, 5, 100])
    def test_the_batch_changes_nothing(self, batch: int) -> None:
        values = image(4, 30, 41)
        logits = predict(values, place_dependent, (4, 8, 12), batch=batch)
        torch.testing.assert_close(logits, predict(values, place_dependent, (4, 8, 12), batch=4), atol=1e-5, rtol=1e-5)

    def test_no_window_is_larger_than_the_batch_or_of_another_size(self) -> None:
        recorder = Recorder()
        predict(image(4, 30, 41), recorder, (4, 8, 12), batch=5)
        assert {shape[1:] for shape in recorder.shapes} == {(2, 4, 8, 12)}
        assert max(shape[0] for shape in recorder.shapes) == 5
        assert sum(shape[0] for shape in recorder.shapes) == len(window_starts((4, 30, 41), (4, 8, 12), 0.5))

    def test_a_small_volume_repeats_its_border_around_its_middle(self) -> None:
        seen: list[torch.Tensor] = []

        def network(windows: torch.Tensor) -> torch.Tensor:
            seen.append(windows)
            return windows

        values = torch.arange(3.0).view(1, 1, 1, 3)
        logits = predict(values, network, (1, 1, 8))
        assert seen[0].flatten().tolist() == [0, 0, 0, 0, 1, 2, 2, 2]  # voxel 3 // 2 lies at 8 // 2
        torch.testing.assert_close(logits, values)

    def test_more_classes_than_channels(self) -> None:
        def network(windows: torch.Tensor) -> torch.Tensor:
            return torch.cat([windows, -windows, windows**2], dim=1)

        values = image(3, 20, 14, channels=1)
        logits = predict(values, network, (2, 8, 8), classes=3)
        torch.testing.assert_close(logits, torch.cat([values, -values, values**2]), atol=1e-5, rtol=1e-5)

    def test_progress_ends_at_the_total(self) -> None:
        progress: list[tuple[int, int]] = []
        predict(image(4, 30, 41), identity, (4, 8, 12), batch=4, on_window=lambda *done: progress.append(done))
        total = len(window_starts((4, 30, 41), (4, 8, 12), 0.5))
        assert progress[-1] == (total, total)
        assert [done for done, _ in progress] == sorted({done for done, _ in progress})


class TestSlabs:
    def test_they_come_from_low_to_high_and_each_voxel_once(self) -> None:
        values = image(23, 20, 17)
        positions, slabs = [], []
        for first, slab in predict_slabs(values, place_dependent, channels=2, patch=(4, 8, 12), overlap=0.5, batch=3):
            positions.append((first, slab.shape[1]))
            slabs.append(slab.clone())  # its memory is used again
        assert [first for first, _ in positions] == [sum(n for _, n in positions[:i]) for i in range(len(positions))]
        assert len(positions) > 5
        torch.testing.assert_close(torch.cat(slabs, dim=1), predict(values, place_dependent, (4, 8, 12)))

    def test_a_thin_volume_is_padded_for_the_windows_alone(self) -> None:
        values = image(2, 30, 41)
        slabs = list(predict_slabs(values, identity, channels=2, patch=(4, 8, 12), overlap=0.5, batch=2))
        assert [(first, slab.shape[1:]) for first, slab in slabs] == [(0, (2, 30, 41))]
        torch.testing.assert_close(slabs[0][1], values, atol=1e-5, rtol=1e-5)

    def test_where_a_layer_has_many_windows_no_more_planes_are_held_than_a_window_has(self) -> None:
        values = image(23, 40, 48)
        whole = predict(values, place_dependent, (4, 8, 12), batch=3)
        heights, slabs = [], []
        for _, slab in predict_slabs(values, place_dependent, channels=2, patch=(4, 8, 12), overlap=0.5, batch=3):
            heights.append(slab.untyped_storage().nbytes() // (4 * 2 * 40 * 48))
            slabs.append(slab.clone())
        assert set(heights) == {4}
        torch.testing.assert_close(torch.cat(slabs, dim=1), whole)


class TestEmptyWindows:
    """Windows that hold a single value a channel all have the same result."""

    def empty_around(self, size: Triple = (4, 40, 60)) -> torch.Tensor:
        values = torch.empty((2, *size))
        values[0], values[1] = -1.5, 0.25
        values[:, :, 10:18, 30:44] = image(size[0], 8, 14)
        return values

    @pytest.mark.parametrize("batch", [1, 3, 100])
    @pytest.mark.parametrize("depth", [4, 15])
    def test_only_the_first_goes_through_the_network_and_the_result_is_the_same(self, batch: int, depth: int) -> None:
        values = self.empty_around((depth, 40, 60))
        recorder = Recorder()

        def network(windows: torch.Tensor) -> torch.Tensor:
            return place_dependent(recorder(windows))

        logits = predict(values, network, (4, 8, 12), batch=batch)
        starts = window_starts((depth, 40, 60), (4, 8, 12), 0.5)
        full = [s for s in starts if 10 - 8 < s[1] < 18 and 30 - 12 < s[2] < 44]
        assert sum(shape[0] for shape in recorder.shapes) == len(full) + 1
        assert max(shape[0] for shape in recorder.shapes) <= batch
        torch.testing.assert_close(logits, self.one_by_one(values, starts))

    def one_by_one(self, values: torch.Tensor, starts: list[Triple]) -> torch.Tensor:
        """Every window through the network, added up in the simplest way."""
        fade = gaussian_weights((4, 8, 12), starts, values.device)
        total, weight = torch.zeros_like(values), torch.zeros(values.shape[1:])
        for z, y, x in starts:
            place = (slice(z, z + 4), slice(y, y + 8), slice(x, x + 12))
            total[(slice(None), *place)] += place_dependent(values[(slice(None), *place)][None])[0] * fade
            weight[place] += fade
        return total / weight

    def test_many_different_values_are_each_answered_by_their_own(self) -> None:
        values = torch.arange(40.0).repeat_interleave(8).view(1, 1, 1, 320)
        logits = predict(values, lambda windows: windows**2, (1, 1, 8), overlap=0.0)
        torch.testing.assert_close(logits, values**2)

    def test_progress_counts_them_too(self) -> None:
        progress: list[tuple[int, int]] = []
        values = self.empty_around()
        predict(values, identity, (4, 8, 12), batch=3, on_window=lambda *done: progress.append(done))
        total = len(window_starts((4, 40, 60), (4, 8, 12), 0.5))
        assert progress[-1] == (total, total)

    def test_a_single_other_voxel_is_seen(self) -> None:
        window = torch.full((2, 5, 9, 17), 3.0)
        window[1] = -1.0
        assert only_value(window) == (3.0, -1.0)
        window[1, 3, 7, 11] = -1.0001
        assert only_value(window) is None

    def test_what_is_no_number_is_no_value(self) -> None:
        assert only_value(torch.full((1, 2, 2, 2), float("nan"))) is None
