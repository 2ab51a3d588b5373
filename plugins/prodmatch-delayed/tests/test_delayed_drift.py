"""Alarms and notes: sizes, sums that add up, and what is said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from prodmatch_delayed.by_hour import Said, relative
from prodmatch_delayed.drift import alarms, cusum, days
from prodmatch_delayed.notes import Notes
from prodmatch_delayed.weights import effective_size


def note(late: float, expected: float, weights: tuple[float, ...] = (1.0, 1.0)) -> dict[str, Any]:
    values = torch.tensor(weights)
    label = {
        "rows": float(len(weights)),
        "weight": float(values.sum()),
        "square": float((values**2).sum()),
        "clipped": 0.0,
        "bins": [0.0] * 10,
    }
    return {"positive": label, "negative": label, "late": late, "expected": expected, "variance": expected}


def test_cusum_in_closed_form() -> None:
    # 1.5 a day is 1 above the allowance: the fifth day reaches 5.
    assert cusum([1.5] * 12) == [(4, 5.0), (9, 5.0)]
    assert cusum([-2.5, -2.5, -2.5]) == [(2, -6.0)]
    assert cusum([0.4, -0.4] * 500) == []
    assert cusum([float("nan"), 6.0]) == [(1, 5.5)]


def test_quiet_noise_raises_no_alarm_and_a_shift_does() -> None:
    rng = np.random.default_rng(0)
    quiet = [note(float(rng.poisson(16)), 16.0) for _ in range(60)]
    shifted = [note(float(rng.poisson(24)), 16.0) for _ in range(20)]
    assert alarms(days(quiet, 1)) == []
    (day, words), *_ = alarms(days([*quiet, *shifted], 1))
    assert 60 <= day <= 66
    assert words.startswith("late conversions have come more often than the weight model expects, by ")


def test_weights_of_few_rows_raise_an_alarm() -> None:
    found = days([note(0, 0, (1.0, *[0.01] * 9))], 1)
    assert found[0].size[0] == pytest.approx(1.09**2 / (10 * (1 + 9e-4)))
    assert (0, "the weights of positives are worth only 12% of their rows") in alarms(found)


def test_effective_size_is_kishs() -> None:
    assert effective_size(torch.tensor([1.0, 1.0, 1.0])).item() == pytest.approx(1)
    assert effective_size(torch.tensor([3.0, 0.0, 0.0])).item() == pytest.approx(1 / 3)
    assert effective_size(torch.zeros(0)).item() == 1


def test_notes_add_up_over_batches_and_begin_anew() -> None:
    notes = Notes(clip=2.0)
    for _ in range(2):
        notes.add(
            torch.tensor([0, 0, 1]),
            torch.tensor([True, False, True]),
            torch.tensor([0.5, 0.0, 30.0]),
            torch.tensor([1.0, 0.8, 3.0]),
            torch.ones(3),
            torch.tensor([0.0, 0.25, 0.25]),
        )
    found = notes.take()
    assert found["positive"]["rows"] == 4
    assert found["positive"]["weight"] == pytest.approx(6)  # 3 was cut to 2
    assert found["positive"]["clipped"] == 2
    assert found["negative"]["square"] == pytest.approx(1.28)
    assert found["late"] == 2
    assert found["expected"] == pytest.approx(4 * 0.2)
    assert sum(found["delays"]) == 4
    assert notes.take() == {}


def test_relative_improvement_is_0_for_vanilla_and_1_for_oracle() -> None:
    converted = np.array([True, False])
    lines = [
        Said(name, name, np.array([p, 1 - p]), converted, np.array(["2024-05-01T00"] * 2))
        for name, p in (("vanilla", 0.5), ("exact", 0.6), ("oracle", 0.8))
    ]
    found = relative(lines)
    assert (found["vanilla"], found["oracle"]) == (0, 1)
    assert found["exact"] == pytest.approx(np.log(0.6 / 0.5) / np.log(0.8 / 0.5))
    assert relative(lines[:2]) == {}
    assert (
        relative(
            [
                Said(
                    x.member,
                    {"vanilla": "oracle", "oracle": "vanilla"}.get(x.method, x.method),
                    x.said,
                    x.converted,
                    x.hour,
                )
                for x in lines
            ]
        )
        == {}
    )
