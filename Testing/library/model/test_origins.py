"""Classes and channels find what they come from by their names."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.model.origins import Origins, channel_origins, channel_text, class_origins, class_text

OLD = ("liver", "spleen", "left kidney", "right kidney")


class TestClasses:
    def test_equal_names_whatever_their_order(self) -> None:
        assert class_origins(OLD, ["spleen", "liver"], [])[0] == ((2,), (1,))

    def test_capitals_do_not_count_where_that_leaves_no_doubt(self) -> None:
        assert class_origins(["Liver"], ["liver"], [])[0] == ((1,),)
        assert class_origins(["Liver"], ["LIVER", "liver"], [])[0] == ((), ())

    def test_renamed_joined_and_divided(self) -> None:
        rename = ["left kidney=kidney", "right kidney = kidney", "liver=left lobe", "liver=right lobe"]
        sources, problems = class_origins(OLD, ["kidney", "left lobe", "right lobe", "spleen"], rename)
        assert problems == []
        assert sources == ((3, 4), (1,), (1,), (2,))
        assert Origins(classes=sources, channels=()).shares == {1: 2, 2: 1, 3: 1, 4: 1}

    def test_a_renamed_class_does_not_keep_its_name_as_well(self) -> None:
        """Somebody exchanged the names of two structures."""
        assert class_origins(["a", "b"], ["a", "b"], ["a=b", "b=a"])[0] == ((2,), (1,))

    def test_names_with_an_equals_sign_are_cut_at_the_first(self) -> None:
        assert class_origins(["a"], ["b=c"], ["a=b=c"])[0] == ((1,),)

    def test_unknown_names_come_with_the_nearest(self) -> None:
        _, problems = class_origins(OLD, ["spleen", "tumour"], ["lever=tumour", "liver=tumor"])
        assert problems == [
            "start.rename 'lever=tumour': the model has no class 'lever'. Did you mean 'liver'?",
            "start.rename 'liver=tumor': the data have no class 'tumor'. Did you mean 'tumour'?",
        ]

    def test_the_plan_tells_what_becomes_of_each(self) -> None:
        new = ["liver", "kidney", "larynx", "front", "back"]
        rename = ["left kidney=kidney", "right kidney=kidney", "spleen=front", "spleen=back"]
        text = class_text(OLD, new, Origins(classes=class_origins(OLD, new, rename)[0], channels=()))
        assert text == (
            "kept: liver; kidney: left kidney, right kidney in one; new: larynx, which begins as what tells it best "
            "in the maps of the model; front: a part of spleen; back: a part of spleen"
        )
        dropped = class_text(
            OLD, ["milt"], Origins(classes=class_origins(OLD, ["milt"], ["spleen=milt"])[0], channels=())
        )
        assert dropped == "milt: was spleen; dropped: liver, left kidney, right kidney"


class TestChannels:
    def test_by_name(self) -> None:
        assert channel_origins(["T1", "FLAIR"], ["flair ", "DWI", "T1"]) == ((1, None, 0), [])

    def test_one_that_is_missing(self) -> None:
        assert channel_origins(["T1", "FLAIR"], ["T1"]) == ((0,), ["FLAIR"])
        assert channel_origins(["T1", "FLAIR"], ["T1", "T2"]) == ((0, None), ["FLAIR"])

    def test_where_nobody_named_them_places_count(self) -> None:
        assert channel_origins(["T1", "FLAIR"], ["channel 0", "channel 1"]) == ((0, 1), [])
        assert channel_origins(["channel 0"], ["T1", "T2"]) == ((0, None), [])

    def test_a_single_channel_is_the_single_one(self) -> None:
        assert channel_origins(["MRI"], ["MR"]) == ((0,), [])

    def test_no_channel_is_taken_twice(self) -> None:
        assert channel_origins(["T1", "T2"], ["T2", "channel 1"]) == ((1, None), ["T1"])

    @pytest.mark.parametrize(
        ("old", "new", "text"),
        [
            (["T1"], ["T1", "T2"], "kept: T1; new: T2, at weight 0 until it is learned"),
            (["T1", "T2"], ["T2"], "kept: T2; dropped: T1"),
            (["MRI"], ["MR"], "kept: MR, which was MRI"),
        ],
    )
    def test_the_plan_tells_what_becomes_of_each(self, old: list[str], new: list[str], text: str) -> None:
        assert channel_text(old, new, Origins(classes=(), channels=channel_origins(old, new)[0])) == text
