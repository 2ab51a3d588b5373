"""Gain profiles: what a product of each label is worth in nDCG, by name. Imports nothing heavy.

Published figures on one data set may differ by the gains alone. The paper of the Shopping Queries Data Set (ESCI,
arXiv 2206.06588) gives exact 1, substitute 0.1, complement 0.01, irrelevant 0; the script published with it gives
substitute 0.01 and complement 0.1. So a profile is chosen by name, and its name is printed wherever figures are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from prodmatch_core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from prodmatch_core.data.dataset import LabelScheme

PROFILES: Mapping[str, str] = {
    "esci": "exact 1, substitute 0.1, complement 0.01, irrelevant 0: the paper's",
    "esci-official-script": "exact 1, substitute 0.01, complement 0.1, irrelevant 0: the published script's",
    "linear": "the grade",
    "exponential": "2 to the power of the grade, less 1",
    "binary": "1 for what counts as a match, else 0",
}
"""Name of each profile -> its gains in words. The grade of a label is the number of labels after it: of c labels, c - 1
for the best and 0 for the last; judgements in qrels files are grades."""

ESCI_LABELS = ("exact", "substitute", "complement", "irrelevant")
"The labels the two ESCI profiles are for, best match first; their initials do as well."
_ESCI: Mapping[str, tuple[float, ...]] = {
    "esci": (1.0, 0.1, 0.01, 0.0),
    "esci-official-script": (1.0, 0.01, 0.1, 0.0),
}
_ESCI_GRADES = ((100, 10, 1, 0), (3, 2, 1, 0))
"Grades that judgements of the four labels are written with."
MAX_EXPONENT = 1000
"Greatest grade whose exponential gain a 64-bit float holds with room to add."


def misfit(profile: str, labels: Sequence[str]) -> str | None:
    """Return why a profile does not fit labels, or None where it does."""
    known = tuple(label.lower() for label in labels)
    if profile not in _ESCI or known in (ESCI_LABELS, tuple(label[0] for label in ESCI_LABELS)):
        return None
    return (
        f'"{profile}" is for the labels {", ".join(ESCI_LABELS)}; this data has {", ".join(labels)}. Use linear, '
        "exponential or binary, or leave it out for the label scheme's own gains"
    )


def with_profile(scheme: LabelScheme, profile: str) -> LabelScheme:
    """Return the scheme with the gains of a profile; `scheme` leaves it as it is.

    Raises:
        DataError: the profile is for other labels.
    """
    if profile == "scheme":
        return scheme
    if problem := misfit(profile, scheme.labels):
        raise DataError(f"evaluation.gain_profile: {problem}.")
    steps = range(len(scheme.labels) - 1, -1, -1)
    gains: Sequence[float] = _ESCI.get(profile, tuple(steps))
    if profile == "exponential":
        gains = [2.0**step - 1 for step in steps]
    elif profile == "binary":
        gains = [label in scheme.positive for label in scheme.labels]
    return attrs.evolve(scheme, gains=gains)


def text(profile: str, scheme: LabelScheme) -> str:
    """Return a profile and its gains as tables show them: `esci: exact 1, substitute 0.1, ...`."""
    name = "the label scheme's own" if profile == "scheme" else profile
    pairs = zip(scheme.labels, scheme.gains, strict=True)
    return f"{name}: {', '.join(f'{label} {gain:g}' for label, gain in pairs)}"


def of_grades(profile: str, grades: np.ndarray, relevant_from: int) -> np.ndarray:
    """Return the gain of judgements that are whole numbers, as in qrels files, (n,) float64.

    A negative grade is worth nothing, as in trec_eval.

    Args:
        profile: name of the profile. The ESCI ones read the grades 100, 10, 1, 0 or 3, 2, 1, 0.
        grades: (n,) int64.
        relevant_from: least grade that counts as relevant, for the profile `binary`.

    Raises:
        DataError: the profile is for other grades.
    """
    import numpy as np

    if profile == "binary":
        return (grades >= relevant_from).astype(np.float64)
    worth = np.maximum(grades, 0).astype(np.float64)
    if profile == "linear":
        return worth
    if profile == "exponential":
        if worth.max(initial=0) > MAX_EXPONENT:
            raise DataError(
                f"gain profile exponential: grade {int(worth.max())} is beyond {MAX_EXPONENT}, 2 to its power is "
                "too great a number. Use linear."
            )
        return 2.0**worth - 1
    found = np.unique(grades).tolist()
    for known in _ESCI_GRADES:
        if set(found) <= set(known):
            gains = dict(zip(known, _ESCI[profile], strict=True))
            return np.array([gains[grade] for grade in found])[np.searchsorted(found, grades)]
    shown = ", ".join(map(str, found[:6])) + (", ..." if len(found) > 6 else "")
    raise DataError(
        f"gain profile {profile}: is for the grades 100, 10, 1, 0 or 3, 2, 1, 0 of the labels "
        f"{', '.join(ESCI_LABELS)}; the judgements have {shown}. Use linear, exponential or binary."
    )
