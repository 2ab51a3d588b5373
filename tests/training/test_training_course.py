"""Training that follows time: nothing from later is ever used, and a stop changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest
import torch

from prodmatch_core.builtin.configs import CrossEntropyConfig
from prodmatch_core.builtin.cross_entropy import CrossEntropyLoss
from prodmatch_core.builtin.structure_configs import EventFeaturesConfig
from prodmatch_core.components.encoder import FitData
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.streams import CONVERTED, NEVER, NOT_CONVERTED, EventLog, Stream
from prodmatch_core.errors import DataError, RunError
from prodmatch_core.records import AggregatorSpec, LossSpec, NoConfig, Part
from prodmatch_core.registry import default_registry
from prodmatch_core.sections import AggregatorSection, ConvertSection, LossEntry, Member, Training
from prodmatch_core.tasks.base import TaskData, load_task
from prodmatch_core.testing.worlds import task_pipeline
from prodmatch_core.training.checkpoint import Checkpoint
from prodmatch_core.training.course import along
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.member import fit_member

START = datetime(2024, 5, 1)


class Told(CrossEntropyLoss):
    """Every event once, at its conversion or a day after it."""

    def stream(self, log: EventLog) -> Stream:
        event = np.arange(len(log))
        in_time = log.converted <= log.shown + 86_400_000_000
        at = np.where(in_time, log.converted, log.shown + 86_400_000_000)
        order = np.argsort(at, kind="stable")
        label = np.where(in_time, CONVERTED, NOT_CONVERTED)
        return Stream(event[order], label[order], at[order], {"hours": np.zeros(len(event), np.float32)})

    def figures(self) -> Mapping[str, Any]:
        return {"heard": 1}


class Silent(CrossEntropyLoss):
    """Says nothing of when a label is known."""


class Here(LossSpec):
    """A record of a loss of this file."""

    def load(self) -> Any:
        return {"test.told": Told, "test.silent": Silent}[self.name]


def log_of(flipped_from: int = 400, count: int = 400) -> Dataset:
    """Return four events an hour; from `flipped_from` on the other devices convert."""
    rng = np.random.default_rng(3)
    shown = [START + timedelta(minutes=15 * i) for i in range(count)]
    phone = rng.random(count) < 0.5
    converts = (np.where(np.arange(count) < flipped_from, phone, ~phone)) & (rng.random(count) < 0.6)
    delays = rng.exponential(5, count)
    return Dataset(
        "log",
        events=pl.DataFrame(
            {
                "event_id": [f"e{i:03}" for i in range(count)],
                "query_id": pl.Series([None] * count, dtype=pl.String),
                "product_id": pl.Series([None] * count, dtype=pl.String),
                "shown_at": shown,
                "converted_at": pl.Series(
                    [
                        s + timedelta(hours=d) if c else None
                        for s, d, c in zip(shown, delays, converts, strict=True)
                    ],
                    dtype=pl.Datetime("us"),
                ),
                "device": np.where(phone, "phone", "desk"),
            }
        ),
        source="log.csv",
    )


def member(*losses: str) -> Member:
    encoder = default_registry().get("encoder", "core.event_features")
    entries = tuple(
        LossEntry(
            Part(Here(name=name, summary="-", factory="a:b", config=CrossEntropyConfig), CrossEntropyConfig())
        )
        for name in losses
    )
    config = EventFeaturesConfig(buckets=64, width=4, hidden=(8,), hour=False)
    return Member(
        Part(encoder, config),
        "events",
        entries,
        training=Training(batch_size=16, epochs=3, learning_rate=0.02),
    )


def fitted(
    dataset: Dataset,
    losses: tuple[str, ...] = ("test.told",),
    hourly: bool = True,
    checkpoint: Checkpoint | None = None,
    on_epoch: Any = lambda _: None,
    **convert: Any,
) -> tuple[FittedMember, TaskData]:
    pipeline = task_pipeline("convert", convert=ConvertSection(hourly=hourly, **convert))
    task = load_task("convert")
    data = task.examples(dataset, pipeline)
    examples = data.examples
    fit = FitData(data.corpus, examples["train"], examples["valid"], data.scheme, dataset, log=data.log)
    return fit_member(
        member(*losses), fit, task, default_registry(), 0, on_epoch, checkpoint=checkpoint
    ), data


def test_every_event_of_validation_and_test_is_predicted_once() -> None:
    model, data = fitted(log_of())
    for split in ("valid", "test"):
        said = model.ahead[split]
        assert said.shape == (len(data.examples[split]), 2)
        assert said.sum(axis=1) == pytest.approx(1)


def test_what_happens_later_changes_no_prediction_made_before_it() -> None:
    plain, _ = fitted(log_of())
    changed, _ = fitted(log_of(flipped_from=360))
    left, right = (np.concatenate([m.ahead["valid"], m.ahead["test"]])[:, 0] for m in (plain, changed))
    first = 400 - len(left)
    # The step of event 360 may begin up to an hour before it.
    assert np.array_equal(left[: 356 - first], right[: 356 - first])
    # Conversions that no longer come are known when they would have come, hours later.
    assert not np.allclose(left[370 - first :], right[370 - first :], atol=1e-4)


def test_what_became_known_is_learnt() -> None:
    # The devices change places a third into the stream: its end is predicted from what came after that.
    model, data = fitted(log_of(flipped_from=300, count=1200))
    said = model.ahead["test"][-50:, 0]
    device = data.corpus.queries["device"].to_numpy()[-50:]
    assert said[device == "desk"].mean() > said[device == "phone"].mean() + 0.2


def test_a_training_stopped_in_mid_stream_goes_on_to_the_same_result(tmp_path: Path) -> None:
    whole, _ = fitted(log_of())
    checkpoint = Checkpoint(tmp_path / "events.safetensors", "key")
    seen = []

    def stop(figures: Mapping[str, Any]) -> None:
        seen.append(figures["epoch"])
        if figures["epoch"] == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(log_of(), checkpoint=checkpoint, on_epoch=stop)
    stopped, _ = fitted(
        log_of(), checkpoint=checkpoint, on_epoch=lambda figures: seen.append(figures["epoch"])
    )
    assert seen[:13] == [*range(1, 13), 12]
    for split in ("valid", "test"):
        assert np.array_equal(whole.ahead[split], stopped.ahead[split])
    for left, right in zip(whole.model.parameters(), stopped.model.parameters(), strict=True):
        assert torch.equal(left, right)


def test_what_a_loss_notes_stands_beside_the_figures_of_its_epoch() -> None:
    heard: list[Mapping[str, Any]] = []
    fitted(log_of(), on_epoch=heard.append)
    assert {len(figures["noted"]) for figures in heard} == {1}
    assert [figures["phase"] for figures in heard[:4]] == ["main", "main", "main", "stream"]


def test_without_steps_the_stream_of_training_is_read_and_the_best_epoch_kept() -> None:
    model, _ = fitted(log_of(), hourly=False)
    assert model.ahead == {}


def test_steps_need_a_loss_that_says_what_is_known_when() -> None:
    with pytest.raises(RunError) as caught:
        fitted(log_of(), ("test.silent",))
    assert str(caught.value) == (
        "member events: convert.hourly goes on learning after training, and no loss of the member says what becomes "
        "known when. Use one that does, like delayed.importance, or set convert.hourly = false."
    )


def test_two_streams_are_refused() -> None:
    with pytest.raises(RunError) as caught:
        fitted(log_of(), ("test.told", "test.told"))
    assert str(caught.value) == "member events: 2 losses want a stream of their own; keep one of them."


def test_nothing_known_by_the_end_of_training_is_an_error() -> None:
    dataset = log_of()
    found = load_task("convert").examples(dataset, task_pipeline("convert"))
    log, examples = found.log, found.examples
    assert log is not None
    data = FitData(found.corpus, examples["train"], examples["valid"], found.scheme, dataset)
    none = Stream(np.array([399]), np.array([NOT_CONVERTED]), np.array([NEVER - 1]))
    with pytest.raises(RunError) as caught:
        along(none, attrs.evolve(log, converted=np.full(400, NEVER)), data, "events")
    assert str(caught.value) == (
        "member events: no label was known by the end of training. Give training more time with [data.split], or wait "
        "less."
    )


def test_folds_are_refused() -> None:
    folds = Part(
        AggregatorSpec(name="test.stack", summary="-", factory="a:b", needs={"out_of_fold"}), NoConfig()
    )
    pipeline = task_pipeline(
        "convert", convert=ConvertSection(hourly=True), aggregator=AggregatorSection(folds)
    )
    with pytest.raises(DataError) as caught:
        load_task("convert").examples(log_of(), pipeline)
    assert str(caught.value) == (
        "aggregator test.stack learns from folds of training, and with convert.hourly members go on learning after it. "
        "Use another aggregator, such as core.mean."
    )


def test_a_row_that_knows_too_much_is_refused() -> None:
    log = load_task("convert").examples(log_of(), task_pipeline("convert")).log
    assert log is not None
    event = int(np.flatnonzero(log.converted < NEVER)[0])
    shown, converted = log.shown[event], log.converted[event]
    with pytest.raises(ValueError, match="A label may be told once it is known") as caught:
        Stream(np.array([event]), np.array([CONVERTED]), np.array([converted - 1])).check(log)
    assert str(caught.value) == (
        f"stream row 0: event {event} with label 0 at {converted - 1}; it was shown at {shown} and converted at "
        f"{converted}. A label may be told once it is known, in order of time."
    )
    Stream(np.array([event]), np.array([CONVERTED]), np.array([converted])).check(log)
