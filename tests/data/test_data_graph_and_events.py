"""Graphs, groups and events described: figures worked out by hand."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.describing.degrees import graph, group_sizes
from prodmatch_core.data.describing.delays import conversions
from prodmatch_core.data.describing.text import elapsed


def engagements(
    edges: list[tuple[str, str, float]], relation: str = "cites", source: str = "product"
) -> pl.DataFrame:
    src, dst, count = zip(*edges, strict=True)
    return pl.DataFrame(
        {
            "src_kind": [source] * len(edges),
            "src": src,
            "relation": [relation] * len(edges),
            "dst_kind": ["product"] * len(edges),
            "dst": dst,
            "count": count,
        }
    )


def test_a_directed_graph_by_hand() -> None:
    edges = [("a", "b", 1.0), ("b", "a", 2.0), ("a", "c", 1.0), ("a", "c", 4.0), ("d", "d", 1.0)]
    products = pl.DataFrame({"product_id": list("abcde"), "locale": ["en"] * 5, "title": ["t"] * 5})
    found = graph(Dataset(name="g", products=products, engagements=engagements(edges)))["cites"]
    counted = {key: found[key] for key in ("rows", "edges", "sources", "targets", "self_loops")}
    assert counted == {"rows": 5, "edges": 4, "sources": 3, "targets": 4, "self_loops": 1}
    assert found["cold_sources"] == pytest.approx(2 / 5)
    assert found["cold_targets"] == pytest.approx(1 / 5)
    assert found["reciprocity"] == pytest.approx(2 / 3)
    assert found["out"]["quantiles"]["max"] == 2
    assert found["out_count"]["quantiles"]["max"] == 6


def test_between_kinds_there_is_no_reciprocity_and_no_loop() -> None:
    table = engagements([("a", "a", 1.0), ("b", "a", 1.0)], "click", "query")
    found = graph(Dataset(name="g", engagements=table))["click"]
    assert (found["reciprocity"], found["self_loops"]) == (None, None)
    assert found["cold_sources"] == 0.0
    assert "out_count" not in found  # all counts are 1, so it would repeat the degrees


def test_counts_that_are_no_whole_numbers_have_no_law_of_counts() -> None:
    assert "out_count" not in graph(Dataset(name="g", engagements=engagements([("a", "b", 0.5)])))["cites"]


def test_a_relation_between_several_kinds_has_an_entry_for_each() -> None:
    table = pl.concat(
        [
            engagements([("a", "b", 1.0)], "click", "query"),
            engagements([("a", "b", 1.0), ("a", "c", 1.0)], "click"),
        ]
    )
    assert list(graph(Dataset(name="g", engagements=table))) == [
        "click (product to product)",
        "click (query to product)",
    ]


def test_groups_by_hand() -> None:
    groups = pl.DataFrame(
        {
            "item_id": list("abcdef"),
            "group": ["1", "1", "1", "2", "3", "3"],
            "split": ["train", "train", "train", "test", "train", "test"],
        }
    )
    found = group_sizes(groups)
    assert found["singletons"] == pytest.approx(1 / 3)
    assert found["crossing"] == 1
    assert found["splits"] == {
        "train": {"items": 4, "groups": 2, "largest": 3},
        "test": {"items": 2, "groups": 2, "largest": 1},
    }
    assert found["sizes"]["quantiles"]["max"] == 3


def log(rows: list[tuple[str, str | None]]) -> pl.DataFrame:
    shown, converted = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "event_id": [str(i) for i in range(len(rows))],
            "query_id": [None] * len(rows),
            "product_id": ["p"] * len(rows),
            "shown_at": pl.Series(shown).str.to_datetime(time_unit="us"),
            "converted_at": pl.Series(converted, dtype=pl.String).str.to_datetime(time_unit="us"),
        },
        schema_overrides={"query_id": pl.String},
    )


EVENTS = [
    ("2024-01-01T00:00:00", "2024-01-01T06:00:00"),
    ("2024-01-01T12:00:00", None),
    ("2024-01-03T00:00:00", "2024-01-05T00:00:00"),
    ("2024-01-03T00:00:00", "2024-01-02T00:00:00"),
]


def test_conversions_by_hand() -> None:
    found = conversions(log(EVENTS))
    assert found["rate"] == 0.75
    assert (found["first"], found["end"]) == ("2024-01-01 00:00:00", "2024-01-05 00:00:00")
    assert (found["backwards"], found["instant"], found["engaged"]) == (1, 0, None)
    assert (found["delay_days"]["min"], found["delay_days"]["max"]) == (0.25, 2.0)
    assert found["laws"] == []
    assert found["curve"] == [
        [pytest.approx(0.25), pytest.approx(0.5)],
        [pytest.approx(2.0), pytest.approx(1.0)],
    ]
    assert found["course"] == {
        "step_days": 1,
        "steps": [
            {"day": "2024-01-01", "events": 2, "converted": 1},
            {"day": "2024-01-03", "events": 2, "converted": 2},
        ],
    }


def test_a_conversion_beyond_the_window_is_watched_as_long_as_the_window() -> None:
    found = conversions(log(EVENTS), window_days=1.0)
    assert found["delay_days"]["max"] == 0.25
    assert found["curve"] == [[pytest.approx(0.25), 1.0]]


def test_a_conversion_at_the_time_of_its_event_takes_half_the_least_delay() -> None:
    now = "2024-01-01T00:00:00"
    found = conversions(log([(now, now), (now, "2024-01-01T12:00:00")]))
    assert (found["instant"], found["delay_days"]["min"]) == (1, 0.25)


def test_events_without_conversions_are_described() -> None:
    found = conversions(log([("2024-01-01T00:00:00", None)]).drop("converted_at"))
    assert (found["rate"], found["delay_days"], found["curve"]) == (0.0, {}, [])


def test_a_log_of_years_is_shown_in_steps_of_days() -> None:
    days = [dt.datetime(2020, 1, 1) + dt.timedelta(days=i) for i in range(1000)]
    course = conversions(log([(day.isoformat(), None) for day in days]))["course"]
    assert course["step_days"] == 9
    assert sum(step["events"] for step in course["steps"]) == 1000
    assert len(course["steps"]) <= 120


@pytest.mark.parametrize(
    ("days", "written"),
    [
        (0.0, "0 ms"),
        (20 / 1440, "20 min"),
        (0.5 / 86_400, "500 ms"),
        (30 / 86_400, "30 s"),
        (1 / 24, "1 h"),
        (0.5, "12 h"),
        (1.0, "1 d"),
        (9.14, "9.14 d"),
        (2000.0, "2,000 d"),
    ],
)
def test_times_are_written_in_the_unit_that_suits_them(days: float, written: str) -> None:
    assert elapsed(days) == written
