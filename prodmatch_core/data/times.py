"""Points in time as files write them: ISO dates and times, or seconds since 1970."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

UNITS = {"seconds": 1_000_000, "milliseconds": 1000, "microseconds": 1}
"Unit of a number that stands for a time -> microseconds."

_LONGEST = 253_402_300_799
"Seconds from 1970 to the end of the year 9999, the last that calendars know."
_ISO = (
    r"^(?<date>\d{4}-\d{1,2}-\d{1,2})(?:[T ](?<hour>\d{1,2}):(?<minute>\d{2})"
    r"(?::(?<second>\d{2})(?:\.(?<fraction>\d{1,9}))?)?(?:\s?(?<zone>Z|UTC|[+-]\d{2}:?\d{2}))?)?$"
)


def parse_times(texts: pl.Series, unit: str = "seconds") -> pl.Series:
    """Return texts as points in time, UTC; null where a text is null or no time.

    Args:
        texts: String; `2017-11-07`, `2017-11-07 9:30`, `2017-11-07T09:30:15.5+02:00`, or a number that counts
            `unit` since 1970. Times without an offset are taken as UTC.
        unit: one of `UNITS`.

    Returns:
        (n,) Datetime in microseconds.
    """
    texts = texts.str.strip_chars()
    # Most files are of one kind; only what the fast way leaves over goes through the slow one.
    found = texts.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    found = _fill(found, texts, lambda rest: _numbers(rest, unit))
    return _sane(_fill(found, texts, _iso))


def no_time(column: str, unit: str) -> Callable[[dict[str, Any]], str]:
    """Return what to say of a row whose `column` `parse_times` could not read."""
    return lambda row: f'"{row[column]}" is neither an ISO date and time nor a number of {unit}'


def _fill(found: pl.Series, texts: pl.Series, parse: Callable[[pl.Series], pl.Series]) -> pl.Series:
    open_ = found.is_null() & texts.is_not_null()
    if not open_.any():
        return found
    rows = open_.arg_true()
    return found.scatter(rows, parse(texts.gather(rows)))


def _numbers(texts: pl.Series, unit: str) -> pl.Series:
    number = texts.cast(pl.Float64, strict=False)
    limit = _LONGEST * UNITS["seconds"] / UNITS[unit]
    number = number.set(~(number.abs() <= limit), None)
    return (number * UNITS[unit]).round().cast(pl.Int64).cast(pl.Datetime("us"))


def _iso(texts: pl.Series) -> pl.Series:
    parts = texts.str.extract_groups(_ISO).struct.unnest()
    moment = (
        parts.select(
            pl.concat_str(
                "date",
                pl.lit(" "),
                pl.col("hour").fill_null("0"),
                pl.lit(":"),
                pl.col("minute").fill_null("00"),
                pl.lit(":"),
                pl.col("second").fill_null("00"),
            )
        )
        .to_series()
        .str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    )
    fraction = parts["fraction"].fill_null("").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    zone = parts["zone"].fill_null("Z").str.replace_all(":", "")
    signed = zone.str.starts_with("+").cast(pl.Int64) - zone.str.starts_with("-").cast(pl.Int64)
    hours = zone.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = zone.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    shift = signed * (hours * 60 + minutes) * 60_000_000
    return (moment.cast(pl.Int64) + fraction - shift).cast(pl.Datetime("us"))


def _sane(moments: pl.Series) -> pl.Series:
    """Return `moments` with those null that no calendar of four-digit years holds."""
    year = moments.dt.year()
    return moments.set(((year < 1) | (year > 9999)).fill_null(False), None)
