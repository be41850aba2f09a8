"""How good a cross-validated model is, and how little a few cases say about the next one, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

NEXT = {2: "third", 3: "fourth", 4: "fifth"}
FEW = 4  # cases, of which a mean and a deviation would say more than anyone knows


def spread_words(dice: Mapping[str, float | None], *, halves: Sequence[float | None] = ()) -> str:
    """A sentence or two on the mean Dice of each case when it was held out.

    halves: Dice of the halves of the only case, each by a model trained on the other.
    """
    known = {name: value for name, value in dice.items() if value is not None}
    if halves:
        told = " and ".join("unknown" if value is None else f"{value:.2f}" for value in halves)
        return (
            f"1 case, cut into halves: Dice {told}, each half by a model trained on the other. Both are of one patient "
            "and one image: another patient may well lie far outside of that."
        )
    if not known:
        return f"{len(dice)} cases, and none has any of the classes: nobody knows how good the model is."
    values = np.array(list(known.values()))
    if len(known) == 1:
        return f"1 case was held out: Dice {values[0]:.2f}. Another patient may well lie far outside of that."
    if len(known) <= FEW:
        return (
            f"{len(known)} cases: Dice {values.min():.2f} to {values.max():.2f} when each was held out once; "
            f"a {NEXT[len(known)]} patient may well lie outside of that."
        )
    low, high = np.percentile(values, (5, 95))
    worst = min(known, key=lambda name: known[name])
    return (
        f"{len(known)} cases, each held out once: Dice {values.mean():.3f} on average, standard deviation "
        f"{values.std(ddof=1):.3f}, 9 of 10 between {low:.2f} and {high:.2f}; the worst is {worst} with "
        f"{values.min():.2f}. Images from elsewhere may do worse."
    )
