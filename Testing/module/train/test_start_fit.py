"""What of a model goes on, by the names of its classes and by what the cases are."""

import numpy as np
import pytest
from MedSegTrainerUI.models.model_card import read_card
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.train.start_fit import origins, rename_entries, start_fit


@pytest.fixture
def card(scene, make_model):
    """A model of liver and tumor, on CT."""
    return read_card(make_model())


def rows_of(*volumes):
    return [CaseRow(name=one[0].GetName(), volumes=one) for one in volumes]


@pytest.mark.parametrize(
    ("classes", "renamed", "told", "entries"),
    [
        (["liver", "tumor"], {}, "Kept: liver, tumor.", []),
        (["tumor", "spleen"], {}, "Kept: tumor. New: spleen. Dropped: liver.", []),
        (["spleen"], {}, "New: spleen. Dropped: liver, tumor.", []),
        (["hepar"], {"hepar": ["liver"]}, "Kept: hepar (was liver). Dropped: tumor.", ["liver=hepar"]),
        (["liver"], {"liver": ["tumor"]}, "Kept: liver (was liver + tumor).", ["tumor=liver"]),
        (
            ["left", "right"],
            {"left": ["liver"], "right": ["liver"]},
            "Kept: left (was liver), right (was liver). Dropped: tumor.",
            ["liver=left", "liver=right"],
        ),
        (
            ["liver", "vessels", "tumor"],
            {"vessels": ["liver"]},
            "Kept: liver, vessels (was liver), tumor.",
            ["liver=liver", "liver=vessels"],
        ),
        (["Liver", "tumor"], {}, "Kept: Liver (was liver), tumor.", ["liver=Liver"]),
        (["liver", "tumor"], {"gone": ["liver"], "tumor": ["not there"]}, "Kept: liver, tumor.", []),
    ],
)
def test_classes_go_on_by_name(card, classes, renamed, told, entries):
    fit = start_fit(card, [], classes, renamed)
    assert fit.told == told and fit.misfits == ()
    assert rename_entries(card, classes, renamed) == entries


def test_an_origin_is_in_the_order_of_the_model(card):
    assert origins(card, ["all"], {"all": ["tumor", "liver"]}) == {"all": ["liver", "tumor"]}


def test_of_many_classes_some_are_named(card):
    fit = start_fit(card, [], ["liver", *(f"part {number}" for number in range(20))], {})
    assert "New: part 0, part 1, part 2, part 3, part 4, part 5, part 6, part 7 and 12 more." in fit.told


def test_a_channel_that_is_missing_does_not_fit_and_one_more_is_new(scene, make_model, make_volume):
    array = np.zeros((4, 5, 6), np.int16)
    one, other = make_volume("T1", array), make_volume("T2", array)
    of_one, of_two = (
        read_card(make_model(f"of-{len(names)}", plan={"channel_names": names})) for names in (["T1"], ["T1", "T2"])
    )
    files = [CaseRow(name="a", images=("a_0.nii.gz",), label="a.nii.gz")]
    for rows in (rows_of((one,)), files):
        assert start_fit(of_one, rows, ["liver"], {}).misfits == ()
        (misfit,) = start_fit(of_two, rows, ["liver"], {}).misfits
        assert misfit == "The model takes 2 volumes a case (T1, T2), and the cases have 1."
    fit = start_fit(of_one, rows_of((one, other)), ["liver", "tumor"], {})
    assert fit.misfits == () and fit.told.endswith("The model knows T1; further volumes are new to it.")


def test_slices_and_volumes_are_told_apart(card, make_model, make_volume):
    photos = read_card(make_model("photos", plan={"dims": 2, "image_size": [256, 256]}))
    slices = read_card(make_model("slices", plan={"dims": 2}))
    volume = rows_of((make_volume("CT", np.zeros((4, 5, 6), np.int16)),))
    single = rows_of((make_volume("X-ray", np.zeros((1, 5, 6), np.int16)),))
    misfits = {
        (name, kind): start_fit(model, rows, ["liver"], {}).misfits
        for name, model in (("volumes", card), ("photos", photos), ("slices", slices))
        for kind, rows in (("volume", volume), ("single", single))
    }
    assert misfits.pop(("volumes", "single")) == ("The model is one for volumes, and the cases are single slices.",)
    assert misfits.pop(("photos", "volume")) == ("The model is one for single images, and the cases are volumes.",)
    assert set(misfits.values()) == {()}, "a network for slices sees those of volumes"
