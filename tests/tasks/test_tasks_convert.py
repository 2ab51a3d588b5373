from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.errors import DataError
from prodmatch_core.sections import ConvertSection
from prodmatch_core.tasks.base import TaskData, load_task
from prodmatch_core.testing.worlds import task_pipeline

START = datetime(2024, 5, 1)


def log(delays: dict[int, float], count: int = 20, **tables: Any) -> Dataset:
    """Return one event an hour; event i converts `delays[i]` hours after it was shown."""
    shown = [START + timedelta(hours=i) for i in range(count)]
    events = pl.DataFrame(
        {
            "event_id": [f"e{i:02}" for i in range(count)],
            "query_id": pl.Series([None] * count, dtype=pl.String),
            "product_id": pl.Series([None] * count, dtype=pl.String),
            "shown_at": shown,
            "converted_at": pl.Series(
                [shown[i] + timedelta(hours=delays[i]) if i in delays else None for i in range(count)],
                dtype=pl.Datetime("us"),
            ),
            "device": ["phone", "desk"] * (count // 2),
        }
    )
    return Dataset("log", events=events, source="log.csv", **tables)


def examples(dataset: Dataset, window: float = 0.0) -> TaskData:
    pipeline = task_pipeline("convert", convert=ConvertSection(window))
    return load_task("convert").examples(dataset, pipeline)


def converted(data: TaskData, split: str) -> set[str]:
    return set(data.rows[split].filter(pl.col("label") == "converted")["event_id"])


def test_events_are_divided_by_time() -> None:
    data = examples(log({0: 1}))
    order = [event for split in ("train", "valid", "test") for event in data.rows[split]["event_id"]]
    assert order == [f"e{i:02}" for i in range(20)]
    assert [len(data.examples[split]) for split in ("train", "valid", "test")] == [14, 2, 4]


def test_a_training_label_is_what_was_known_when_training_ended() -> None:
    # Training ends with event 13: event 2 converted by then, event 3 long after, event 17 is of the test.
    data = examples(log({2: 5, 3: 12, 17: 200}))
    assert converted(data, "train") == {"e02"}
    assert converted(data, "test") == {"e17"}
    assert data.notes == ("conversions of train events that came after its end, not known to it: 1",)


def test_a_conversion_at_the_last_known_moment_is_known() -> None:
    assert converted(examples(log({3: 10})), "train") == {"e03"}
    assert converted(examples(log({3: 10.01, 2: 1})), "train") == {"e02"}


def test_conversions_after_the_window_do_not_count() -> None:
    dataset = log({2: 5, 17: 200, 18: 2})
    assert converted(examples(dataset, window=1), "test") == {"e18"}
    assert converted(examples(dataset), "test") == {"e17", "e18"}


def test_the_event_is_the_query_side_with_its_features() -> None:
    data = examples(log({0: 1}))
    queries = data.corpus.queries
    assert {"device", "text", "shown_at"} <= set(queries.columns)
    assert "converted_at" not in queries.columns
    assert data.examples["valid"].query.tolist() == [14, 15]


def test_hours_are_the_groups() -> None:
    data = examples(log({0: 1}))
    assert data.rows["train"]["hour"][:2].to_list() == ["2024-05-01T00", "2024-05-01T01"]
    assert data.groups("train", "hour").tolist() == list(range(14))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            log({}),
            "log.csv: table events has no conversion (column converted_at); there is nothing to learn.",
        ),
        (
            log({5: 100}),
            "log.csv: no conversion of a training event was known by 2024-05-01 13:00:00. "
            "Give training more time with [data.split], or a longer log.",
        ),
        (
            log({0: 1}, count=2),
            "log.csv: 2 events at 2 moments cannot be divided by time into train, valid and test. "
            "Give a longer log, or set [data.split].",
        ),
    ],
    ids=["none", "late", "short"],
)
def test_a_log_without_anything_to_learn_is_refused(dataset: Dataset, message: str) -> None:
    with pytest.raises(DataError) as error:
        examples(dataset)
    assert str(error.value) == message
