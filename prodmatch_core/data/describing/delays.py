"""Event logs: how many events convert, how long it takes, by which law, and how it goes day by day."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.describing.delay_laws import fit_delay_laws, gather, kaplan_meier
from prodmatch_core.data.describing.spreads import quantiles, spaced

DAY = 86_400_000_000
"Microseconds, the unit of the tables' times."
MOST_STEPS = 120
"Steps of the course over time; a log of more days is shown in steps of several days."
_POINTS = 120


def conversions(events: pl.DataFrame, window_days: float | None = None) -> dict[str, Any]:
    """Return what there is to know of conversions in an event log.

    Args:
        events: an events table; without `converted_at` nothing in it converts.
        window_days: days after an event within which a conversion counts; an event without one is watched no
            longer than this. None: until the end of the log.

    Returns:
        `rate` of conversion, share of events with an `engaged` signal or None; `first`, `last` (days of the
        events), `end` (the latest time of the log, where watching ends); `window_days`; `backwards`
        (conversions before their event, left out of all that follows), `instant` (delays of 0, taken as half
        the least delay); `delay_days` (quantiles of delays seen), `laws` (fitted, likeliest first), `curve`
        ([[days, share of the conversions seen by the Kaplan-Meier curve], ...]), `course` (`step_days`, and of
        each step `day`, `events`, `converted`).
    """
    if events.is_empty():
        return {}
    times = [name for name in ("shown_at", "engaged_at", "converted_at") if name in events.columns]
    if "converted_at" not in times:
        events = events.with_columns(converted_at=pl.lit(None, dtype=pl.Datetime("us")))
    end = max(latest for name in times if (latest := events[name].max()) is not None)
    delay = (events["converted_at"] - events["shown_at"]).dt.total_microseconds()
    usable = (delay >= 0).fill_null(True)
    delays = delay.filter(usable).drop_nulls().to_numpy() / DAY
    instant = int((delays == 0).sum())
    if 0 < instant < len(delays):
        delays = np.where(delays == 0, delays[delays > 0].min() / 2, delays)
    elif instant:
        delays = delays[:0]
    left = pl.lit(end) - pl.col("shown_at").filter(pl.col("converted_at").is_null())
    followed = events.select(left.dt.total_microseconds()).to_series().to_numpy() / DAY
    if window_days is not None:
        # A conversion beyond the window does not count, whatever the log says of it.
        followed = np.concatenate(
            [np.minimum(followed, window_days), np.full((delays > window_days).sum(), window_days)]
        )
        delays = delays[delays <= window_days]
    gathered = gather(delays, followed)
    curve = kaplan_meier(gathered)
    kept = spaced(gathered.delay, _POINTS)
    return {
        "rate": events["converted_at"].count() / events.height,
        "engaged": events["engaged_at"].count() / events.height if "engaged_at" in times else None,
        "first": _iso(events["shown_at"].min()),
        "last": _iso(events["shown_at"].max()),
        "end": _iso(end),
        "window_days": window_days,
        "backwards": int((~usable).sum()),
        "instant": instant,
        "delay_days": quantiles(pl.Series(delays)),
        "laws": [attrs.asdict(law) for law in fit_delay_laws(gathered)],
        "curve": [[float(gathered.delay[i]), float(curve[i] / curve[-1])] for i in kept.tolist()],
        "course": _course(events),
    }


def _course(events: pl.DataFrame) -> dict[str, Any]:
    day = events["shown_at"].dt.date()
    first = day.min()
    assert isinstance(first, dt.date)
    number = (day - first).dt.total_days().to_numpy()
    step = -(-(int(number.max()) + 1) // MOST_STEPS)
    steps = (
        events.select(pl.Series("step", number // step), pl.col("converted_at"))
        .group_by("step")
        .agg(pl.len().alias("events"), pl.col("converted_at").count().alias("converted"))
        .sort("step")
    )
    return {
        "step_days": step,
        "steps": [
            {
                "day": (first + dt.timedelta(days=place * step)).isoformat(),
                "events": n,
                "converted": converted,
            }
            for place, n, converted in steps.iter_rows()
        ],
    }


def _iso(when: Any) -> str | None:
    return None if when is None else when.isoformat(sep=" ", timespec="seconds")
