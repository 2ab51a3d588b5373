"""Fixed points, masses and streams in closed form: what each method learns where every chance is known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from prodmatch_core.data.streams import CONVERTED, HOUR, NEVER, EventLog
from prodmatch_delayed.configs import FORMS, METHODS
from prodmatch_delayed.streams import ENGAGED, FRESH, LATE, SETTLED, Part, rows_of, stream_of
from prodmatch_delayed.weights import Seen, genuine_of, importance, row_losses

DAY = 24 * HOUR


@attrs.frozen
class Kind:
    """Rows of one kind in a population: how much there is of them, and what they say."""

    mass: float
    positive: bool
    kind: int
    method_reads: tuple[float, float, float]
    "late, genuine, in_time: true chances."


def rows(method: str, p: float, late: float) -> Iterator[Kind]:
    """Yield the kinds of rows that one event leaves on average; `late` is P(converts after the first label)."""
    if method in ("fnw", "fnc", "raw"):
        late = p
    zeros = 1 - p + late
    reads = (late, (1 - p) / zeros, (p - late) / p if p else 0.0)
    yield Kind(p - late, True, FRESH, reads)
    yield Kind(zeros, False, FRESH, reads)
    if method == "defer":
        yield Kind(p, True, SETTLED, reads)
        yield Kind(1 - p, False, SETTLED, reads)
    elif method not in ("fsiw", "oracle"):
        yield Kind(late, True, LATE, reads)


def learnt(method: str, events: Sequence[tuple[float, float]], shared: bool = True) -> float:
    """Return the P(conversion) at which the expected loss stands still, one for all `events` (p, late)."""
    kinds = [kind for p, late in events for kind in rows(method, p, late)]
    mass = torch.tensor([kind.mass for kind in kinds], dtype=torch.float64)
    low, high = -9.0, 9.0
    for _ in range(60):
        middle = (low + high) / 2
        logit = torch.tensor(middle, dtype=torch.float64, requires_grad=True)
        each = losses("vanilla" if method == "raw" else method, kinds, logit)
        (slope,) = torch.autograd.grad((mass * each).sum(), logit)
        low, high = (middle, high) if slope < 0 else (low, middle)
    return 1 / (1 + math.exp(-middle))


def losses(method: str, kinds: Sequence[Kind], logit: Tensor) -> Tensor:
    return row_losses(method, seen(kinds, logit))[0]


def seen(kinds: Sequence[Kind], logit: Tensor) -> Seen:
    late, genuine, in_time = torch.tensor([kind.method_reads for kind in kinds], dtype=torch.float64).T
    return Seen(
        logit.expand(len(kinds)),
        torch.tensor([kind.positive for kind in kinds]),
        torch.tensor([kind.kind for kind in kinds]),
        late=late,
        genuine=genuine,
        in_time=in_time,
    )


def mass_of(method: str, p: float, late: float, logit: float) -> float:
    """Return the total weight an event's rows have at the fixed point."""
    kinds = list(rows(method, p, late))
    _, terms = row_losses(method, seen(kinds, torch.tensor(logit, dtype=torch.float64)))
    weights = (terms.towards + terms.against).tolist()
    return sum(kind.mass * weight for kind, weight in zip(kinds, weights, strict=True))


# -- 1: one event with (p, late) = (.2, .1) -----------------------------------------------------------------------------


def test_vanilla_learns_the_share_of_its_stream() -> None:
    assert learnt("vanilla", [(0.2, 0.1)]) == pytest.approx(0.2 / 1.1, abs=1e-5)


def test_plain_cross_entropy_on_zeros_at_the_click_learns_p_over_one_plus_p() -> None:
    assert learnt("raw", [(0.2, 0.1)]) == pytest.approx(0.2 / 1.2, abs=1e-5)


@pytest.mark.parametrize(
    "method", ["fnc", "fnw", "fsiw", "es_dfm", "defer", "defuse", "exact", "signals", "oracle"]
)
def test_the_methods_learn_the_true_probability(method: str) -> None:
    events = [(0.2, 0.0 if method == "oracle" else 0.1)]
    assert learnt(method, events) == pytest.approx(0.2, abs=1e-5)


def test_shares_of_observed_zeros() -> None:
    for method, share in (("es_dfm", 0.9 / 1.1), ("defer", 0.85)):
        kinds = list(rows(method, 0.2, 0.1))
        zeros = sum(kind.mass for kind in kinds if not kind.positive)
        assert zeros / sum(kind.mass for kind in kinds) == pytest.approx(share)
    assert pytest.approx(0.8182, abs=5e-5) == 0.9 / 1.1


# -- 2: an intercept for two kinds of events ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "expected"),
    [("es_dfm", 0.12857), ("fnw", 0.13), ("exact", 0.125), ("defer", 0.125), ("defuse", 0.12857)],
)
def test_an_intercept_shows_which_methods_scale_events(method: str, expected: float) -> None:
    # The weights know each event's true chances; what is served has only an intercept.
    towards = against = 0.0
    for p, late in [(0.2, 0.1), (0.05, 0.0)]:
        kinds = list(rows(method, p, late))
        terms = importance(method, seen(kinds, torch.tensor(math.log(p / (1 - p)), dtype=torch.float64)))
        mass = torch.tensor([kind.mass for kind in kinds], dtype=torch.float64)
        towards += float((mass * terms.towards).sum())
        against += float((mass * terms.against).sum())
    assert towards / (towards + against) == pytest.approx(expected, abs=1e-5)


# -- 3 and 4: limits and masses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fnw", "es_dfm", "defer", "defuse", "exact", "signals", "fsiw"])
def test_where_nothing_comes_late_every_weight_is_1(method: str) -> None:
    kinds = [Kind(1.0, positive, FRESH, (0.0, 1.0, 1.0)) for positive in (True, False)]
    logit = torch.tensor(-2.0, dtype=torch.float64)
    _, terms = row_losses(method, seen(kinds, logit))
    f = float(logit.sigmoid())
    expected = [1 + f, (1 - f) * (1 + f)] if method == "fnw" else [1.0, 1.0]
    assert (terms.towards + terms.against).tolist() == pytest.approx(expected)


def test_without_waiting_es_dfm_is_fnw() -> None:
    p = 0.3
    logit = torch.tensor(math.log(p / (1 - p)), dtype=torch.float64)
    kinds = list(rows("es_dfm", p, p))
    left, right = (row_losses(method, seen(kinds, logit))[1] for method in ("es_dfm", "fnw"))
    assert torch.allclose(left.towards, right.towards)
    assert torch.allclose(left.against, right.against)


def test_without_waiting_the_streams_of_es_dfm_and_fnw_are_one() -> None:
    log = made_log()
    left, right = stream_of(log, "es_dfm", 0.0), stream_of(log, "fnw", 5.0)
    assert np.array_equal(left.event, right.event)
    assert np.array_equal(left.label, right.label)
    assert np.array_equal(left.at, right.at)


@pytest.mark.parametrize(
    ("method", "mass"), [("defuse", 1.1), ("es_dfm", 1.1), ("exact", 1.0), ("defer", 2.0)]
)
def test_mass_of_an_event(method: str, mass: float) -> None:
    assert mass_of(method, 0.2, 0.1, math.log(0.25)) == pytest.approx(mass)


def test_defuse_counts_a_late_conversion_once() -> None:
    kinds = [Kind(1.0, True, FRESH, (0.1, 0.9, 1.0)), Kind(1.0, True, LATE, (0.1, 0.9, 1.0))]
    _, terms = row_losses("defuse", seen(kinds, torch.tensor(0.0, dtype=torch.float64)))
    assert terms.towards.tolist() == pytest.approx([1.1, 1.0])


def test_dfm_is_the_likelihood_of_an_exponential_delay() -> None:
    p, rate, hours = 0.2, 0.5, 3.0
    one = torch.ones(2, dtype=torch.float64)
    given = Seen(
        one * math.log(p / (1 - p)),
        torch.tensor([True, False]),
        torch.zeros(2),
        log_rate=one * math.log(rate),
        elapsed=one * hours,
        delay=one * 2.0,
    )
    each, _ = row_losses("dfm", given)
    expected = [-math.log(p * rate * math.exp(-rate * 2.0)), -math.log(1 - p + p * math.exp(-rate * hours))]
    assert each.tolist() == pytest.approx(expected)


# -- 5: signals ---------------------------------------------------------------------------------------------------------


def test_weights_by_signals_keep_the_fixed_point_and_come_nearer_to_the_truth() -> None:
    # Of events that convert late 70% show a signal before the first label, of those that never convert 10%.
    p, late, shown, blind = 0.2, 0.1, 0.7, 0.1
    never = 1 - p
    kinds, error = [Kind(p - late, True, FRESH, (0, 1, 1)), Kind(late, True, LATE, (0, 1, 1))], {}
    plain = never / (never + late)
    error["x alone"] = never * (1 - plain) ** 2 + late * plain**2
    error["signals"] = 0.0
    for of_late, of_never in ((shown, blind), (1 - shown, 1 - blind)):
        a, b = late * of_late, never * of_never
        weight = b / (a + b)
        kinds.append(Kind(a + b, False, FRESH, (0, weight, 1)))
        error["signals"] += b * (1 - weight) ** 2 + a * weight**2
    mass = torch.tensor([kind.mass for kind in kinds], dtype=torch.float64)
    logit = torch.tensor(math.log(p / (1 - p)), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad((mass * losses("signals", kinds, logit)).sum(), logit)
    assert slope.item() == pytest.approx(0, abs=1e-6)
    assert error["signals"] < 0.75 * error["x alone"]


def test_weights_by_way_of_the_signal_keep_the_fixed_point() -> None:
    # Of first labels 0, a share has its signal already. Of the rest one of five engages later, and one of four who
    # engage converts after the first label.
    p_first, engaged, engages, redeems = 0.1, 0.3, 0.2, 0.25
    zeros = 1 - p_first
    late = zeros * (engaged * redeems + (1 - engaged) * engages * redeems)
    there = torch.tensor([True, False])
    genuine = genuine_of(there, torch.tensor(engages), torch.tensor([redeems, redeems]))
    assert genuine.tolist() == pytest.approx([0.75, 0.95])
    kinds = [
        Kind(p_first, True, FRESH, (0, 1, 1)),
        Kind(late, True, LATE, (0, 1, 1)),
        Kind(zeros * engaged, False, FRESH, (0, float(genuine[0]), 1)),
        Kind(zeros * (1 - engaged), False, FRESH, (0, float(genuine[1]), 1)),
    ]
    p = p_first + late
    mass = torch.tensor([kind.mass for kind in kinds], dtype=torch.float64)
    logit = torch.tensor(math.log(p / (1 - p)), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad((mass * losses("signals", kinds, logit)).sum(), logit)
    assert slope.item() == pytest.approx(0, abs=1e-6)


def test_where_every_signal_comes_first_rows_without_one_have_weight_1() -> None:
    there = torch.tensor([True, False, False])
    redeems = torch.tensor([0.25, 0.25, 0.9])
    settled = genuine_of(there, None, redeems)
    assert settled.tolist() == [0.75, 1.0, 1.0]
    assert torch.equal(settled, genuine_of(there, torch.zeros(3), redeems))


def test_signals_are_told_as_they_come_where_a_model_of_them_learns() -> None:
    log = made_log()
    for form in FORMS:
        stream = stream_of(log, "signals", 1.0, form)
        stream.check(log)
        came = stream.facts["kind"] == ENGAGED
        event = stream.event[came]
        expected = (log.engaged > log.shown + HOUR) & (log.engaged < log.converted) & (log.engaged < NEVER)
        assert set(event) == (set(np.flatnonzero(expected)) if form == "factored" else set()), form
        assert (stream.at[came] == log.engaged[event]).all()
        assert not stream.facts["trains"][came].any()
    assert expected.sum() > 100
    late = stream_of(log, "signals", 1.0, "factored")
    told = late.facts["kind"] == LATE
    known = log.engaged[late.event[told]] < log.converted[late.event[told]]
    assert ((late.facts["signal"][told] >= 0) == known).all()


# -- 6: what could be known ---------------------------------------------------------------------------------------------


def made_log(count: int = 4000, window_days: float = 2.0, steps: int = 30) -> EventLog:
    """Return a log of ten days with delays from seconds to days, some exactly at a boundary."""
    rng = np.random.default_rng(5)
    shown = np.sort(rng.integers(0, 10 * DAY, count))
    delay = (rng.exponential(0.4, count) * DAY).astype(np.int64)
    delay[:50] = 0
    delay[50:100] = HOUR
    converts = (rng.random(count) < 0.4) & (delay <= window_days * DAY)
    signal = np.where(rng.random(count) < 0.5, (rng.random(count) * delay).astype(np.int64), NEVER)
    return EventLog(
        np.zeros(count, dtype=np.int64),
        shown,
        np.where(converts, shown + delay, NEVER),
        np.where(signal < NEVER, shown + np.minimum(signal, 9 * DAY), NEVER),
        round(window_days * DAY),
        6 * DAY + np.arange(steps + 1) * HOUR,
    )


@pytest.mark.parametrize("method", [m for m in METHODS if m != "oracle"])
@pytest.mark.parametrize("wait", [0.0, 1.0, 6.0])
def test_no_row_comes_before_its_label_is_knowable(method: str, wait: float) -> None:
    log = made_log()
    stream = stream_of(log, method, wait)
    stream.check(log)
    told = stream.label == CONVERTED
    converted = log.converted[stream.event]
    assert (stream.at[told] >= converted[told]).all()
    assert (stream.at[~told] < converted[~told]).all()
    signal = stream.facts["signal"]
    known = log.shown[stream.event] + (signal * HOUR).astype(np.int64)
    assert (known[signal >= 0] <= stream.at[signal >= 0] + HOUR // 1000).all()


def test_a_stream_that_peeks_is_refused() -> None:
    log = made_log()
    stream = stream_of(log, "oracle", 0.0)
    row = int(np.flatnonzero((log.converted < NEVER) & (log.converted > log.shown))[0])
    with pytest.raises(
        ValueError, match=rf"stream row {row}: event {row} with label 0 at .* once it is known"
    ):
        attrs.evolve(stream, oracle=False).check(log)
    stream.check(log)


def test_every_conversion_is_told_and_every_event_comes_as_often_as_the_method_says() -> None:
    log = made_log()
    part = Part(np.arange(len(log)), log.shown, log.converted, log.engaged)
    converts = log.converted < NEVER
    in_time = log.converted <= log.shown + HOUR
    for method, expected in (
        ("vanilla", len(log) + (converts & ~in_time).sum()),
        ("fnw", len(log) + (log.converted > log.shown)[converts].sum()),
        ("defer", 2 * len(log)),
        ("dfm", len(log)),
        ("oracle", len(log)),
    ):
        found = rows_of(part, method, 1.0, log.window, int(log.begins[0]))
        assert len(found) == expected, method
        if method not in ("dfm",):
            assert set(found.event[found.label == CONVERTED]) == set(np.flatnonzero(converts)), method
    fsiw = rows_of(part, "fsiw", 1.0, log.window, int(log.begins[0]))
    assert fsiw.trains.sum() == len(log)
