"""Alarms: whether what comes late, and the weights, are still what the weight models say.

The sums are the loss's own notes of every step (`notes.Notes`), gathered to days, because nights differ from noons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

ALLOWANCE = 0.5
"Standard deviations a day may be off before anything adds up."
THRESHOLD = 5.0
"Standard deviations added up at which late conversions raise an alarm; by chance once in years (Page, 1954)."
LEAST_SIZE = 0.3
"Effective sample size, as a share of the rows, below which weights raise an alarm."
MOST_CLIPPED = 0.01
"Share of rows whose weight was cut above which weights raise an alarm."


@attrs.frozen
class Day:
    """What was noted in one day of the stream.

    Attributes:
        rows: of each label, positive and negative.
        size: effective sample size of each label's weights as a share of its rows; 1 without rows.
        mean: weight of each label's rows on average.
        clipped: share of all rows whose weight was cut.
        late: late conversions that came.
        expected: those that the weight model expected, NaN where none says.
        deviation: standard deviation of `late` about `expected`.
    """

    rows: tuple[float, float]
    size: tuple[float, float]
    mean: tuple[float, float]
    clipped: float
    late: float
    expected: float
    deviation: float


def days(noted: Sequence[Mapping[str, Any] | None], steps: int) -> list[Day]:
    """Return the notes of steps, None where nothing was noted, gathered to days of `steps` steps."""
    return [_day([n for n in noted[i : i + steps] if n]) for i in range(0, len(noted), steps)]


def _day(notes: Sequence[Mapping[str, Any]]) -> Day:
    def total(label: str, what: str) -> float:
        return float(sum(note[label][what] for note in notes))

    labels = ("positive", "negative")
    rows = (total("positive", "rows"), total("negative", "rows"))
    weight = [total(label, "weight") for label in labels]
    square = [total(label, "square") for label in labels]
    size = tuple(w * w / (n * q) if n * q else 1.0 for w, q, n in zip(weight, square, rows, strict=True))
    mean = tuple(w / n if n else float("nan") for w, n in zip(weight, rows, strict=True))
    clipped = sum(total(label, "clipped") for label in labels) / max(sum(rows), 1.0)
    says = bool(notes) and "expected" in notes[0]
    return Day(
        rows,
        (size[0], size[1]),
        (mean[0], mean[1]),
        clipped,
        float(sum(note["late"] for note in notes)),
        float(sum(note["expected"] for note in notes)) if says else float("nan"),
        float(sum(note["variance"] for note in notes)) ** 0.5 if says else float("nan"),
    )


def cusum(
    values: Sequence[float], allowance: float = ALLOWANCE, threshold: float = THRESHOLD
) -> list[tuple[int, float]]:
    """Return where standardised deviations add up to an alarm, and the sum there, negative where they fall short.

    Two-sided; a sum begins anew after its alarm (Page, Biometrika 1954). NaN says nothing.
    """
    above = below = 0.0
    alarms = []
    for place, value in enumerate(values):
        if np.isnan(value):
            continue
        above, below = max(0.0, above + value - allowance), max(0.0, below - value - allowance)
        if above >= threshold or below >= threshold:
            alarms.append((place, above if above >= threshold else -below))
            above = below = 0.0
    return alarms


def alarms(found: Sequence[Day]) -> list[tuple[int, str]]:
    """Return (day, what is wrong) in order of time."""
    off = [(d.late - d.expected) / d.deviation if d.deviation > 0 else float("nan") for d in found]
    raised = [
        (
            place,
            f"late conversions have come {'more' if total > 0 else 'less'} often than the weight model expects, by "
            f"{abs(total):.1f} standard deviations added up",
        )
        for place, total in cusum(off)
    ]
    for place, day in enumerate(found):
        for label, size, rows in zip(("positives", "negatives"), day.size, day.rows, strict=True):
            if rows and size < LEAST_SIZE:
                raised.append((place, f"the weights of {label} are worth only {size:.0%} of their rows"))
        if day.clipped > MOST_CLIPPED:
            raised.append((place, f"{day.clipped:.1%} of the weights were cut"))
    return sorted(raised)
