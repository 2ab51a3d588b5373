"""The convert task: how likely does an event convert? Split by time; a label is what was known at the time."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import attrs
import numpy as np
import polars as pl
from torch import Tensor, nn

from prodmatch_core.components.encoder import Encoding
from prodmatch_core.components.loss import Output
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.streams import HOUR, NEVER, EventLog
from prodmatch_core.data.tables import EVENTS
from prodmatch_core.errors import DataError
from prodmatch_core.fields import PRODUCT_FIELDS
from prodmatch_core.sections import PipelineFile
from prodmatch_core.task_specs import CONVERT
from prodmatch_core.tasks.base import Task, TaskData
from prodmatch_core.tasks.heads import class_head

CONVERSION = LabelScheme("conversion", ("converted", "not_converted"), (1.0, 0.0), ("converted",))
"What an event can become."


class ConvertTask(Task):
    """Events in, conversion probabilities out.

    The query side of an example is the event: what was asked, if anything, and its features; the product side is the
    product shown. Events are divided by time. Whether a training event has converted is what was known when the last
    training event was shown, and likewise for validation; test labels are final.

    A loss that says what was known when (`Loss.stream`) trains on its own rows instead; with `convert.hourly` it goes
    on through validation and test, where every event is predicted before anything of its hour is learnt.
    """

    spec = CONVERT

    def examples(self, dataset: Dataset, pipeline: PipelineFile) -> TaskData:
        """Return the events in order of time.

        Raises:
            DataError: there are no events, no conversions, or too few moments to divide by; or the pipeline goes on
                learning after training and has an aggregator that needs folds.
        """
        aggregator = pipeline.aggregator
        if pipeline.convert.hourly and aggregator and "out_of_fold" in aggregator.part.needs:
            raise DataError(
                f"aggregator {aggregator.part.name} learns from folds of training, and with convert.hourly members "
                "go on learning after it. Use another aggregator, such as core.mean."
            )
        events = dataset.events
        if events is None:
            raise DataError(f"{dataset.source}: no table events; the task convert needs one.")
        if "converted_at" not in events.columns or not events["converted_at"].count():
            raise DataError(
                f"{dataset.source}: table events has no conversion (column converted_at); there is nothing to learn."
            )
        split = pipeline.data.split
        events = events.sort("shown_at", "event_id")
        cuts = _cuts(events["shown_at"], split.valid, split.test, dataset.source)
        window = pipeline.convert.window
        converted = pl.col("converted_at")
        if window:
            late = converted > pl.col("shown_at") + timedelta(days=window)
            events = events.with_columns(pl.when(~late).then(converted).alias("converted_at"))
        corpus, product = _corpus(dataset, events)
        number = np.arange(events.height)
        examples, rows, notes = {}, {}, []
        begin = 0
        for name, end, known in (("train", *cuts[0]), ("valid", *cuts[1]), ("test", events.height, None)):
            part = events.slice(begin, end - begin)
            has = part["converted_at"].is_not_null()
            seen = has if known is None else (part["converted_at"] <= known).fill_null(False)
            unknown = int(has.sum()) - int(seen.sum())
            if unknown:
                notes.append(
                    f"conversions of {name} events that came after its end, not known to it: {unknown}"
                )
            label = np.where(seen.to_numpy(), 0, 1)
            span = slice(begin, end)
            examples[name] = Examples(number[span], product[span], label, np.ones(end - begin))
            labels = pl.Series(np.array(CONVERSION.labels)[label])
            hour = pl.col("shown_at").dt.truncate("1h").dt.strftime("%Y-%m-%dT%H")
            rows[name] = part.select(
                "event_id", hour.alias("hour"), pl.lit(name).alias("split"), labels.alias("label")
            )
            begin = end
        if not (examples["train"].label == 0).any():
            raise DataError(
                f"{dataset.source}: no conversion of a training event was known by {cuts[0][1]}. "
                "Give training more time with [data.split], or a longer log."
            )
        log = _log(events, product, cuts[0][0], window, pipeline)
        return TaskData(corpus, examples, rows, CONVERSION, tuple(notes), log=log)

    def visible(self, dataset: Dataset, data: TaskData) -> Dataset:
        """Return the data set without events and engagements: which conversions are known is the task's to say."""
        return attrs.evolve(super().visible(dataset, data), engagements=None, events=None)

    def head(self, width: int, gives: frozenset[str], scheme: LabelScheme, dropout: float = 0.1) -> nn.Module:
        """Return the classifier on top of a member's encoder."""
        return class_head(width, gives, len(scheme.labels), dropout)

    def output(self, head: nn.Module, encoding: Encoding, labels: Tensor, weights: Tensor) -> Output:
        """Return logits, and embeddings where the encoder gives them."""
        return Output(
            labels=labels,
            weights=weights,
            logits=head(encoding),
            embeddings=encoding.query,
            references=encoding.product,
            uncertainty=encoding.uncertainty,
        )


def _cuts(shown: pl.Series, valid: float, test: float, source: str) -> list[tuple[int, datetime]]:
    """Return where train and valid end (rows) and the moment of their last event; a moment is not divided."""
    cuts = []
    for share in (1 - valid - test, 1 - test):
        row = min(max(round(len(shown) * share), 1), len(shown) - 1)
        end = int(shown.search_sorted(shown[row], side="left"))
        cuts.append((end, shown[max(end - 1, 0)]))
    ends = [0, *(end for end, _ in cuts), len(shown)]
    if any(high <= low for low, high in itertools.pairwise(ends)):
        raise DataError(
            f"{source}: {len(shown)} events at {shown.n_unique()} moments cannot be divided by time into train, valid "
            "and test. Give a longer log, or set [data.split]."
        )
    return cuts


def _log(
    events: pl.DataFrame, product: np.ndarray, trained: int, window: float, pipeline: PipelineFile
) -> EventLog:
    """Return the log as losses read it; `trained` events are of the training split, `window` is in days."""

    def moments(name: str) -> np.ndarray:
        if name not in events.columns:
            return np.full(events.height, NEVER)
        return events[name].cast(pl.Datetime("us")).to_physical().fill_null(NEVER).to_numpy()

    shown = moments("shown_at")
    first, last = int(shown[trained]), int(shown[-1])
    step = round(pipeline.convert.step * HOUR)
    begins = np.arange(first, last + step + 1, step) if pipeline.convert.hourly else np.array([first])
    return EventLog(
        product,
        shown,
        moments("converted_at"),
        moments("engaged_at"),
        round(window * 24 * HOUR),
        begins,
    )


def _corpus(dataset: Dataset, events: pl.DataFrame) -> tuple[Corpus, np.ndarray]:
    """Return the corpus, one query row an event, and each event's row of the products."""
    features = [name for name in events.columns if name not in EVENTS.columns]
    asked = events.select("event_id", "query_id", "product_id", "shown_at", *features)
    if dataset.queries is not None:
        known = dataset.queries.select("query_id", "locale", "text")
        asked = asked.join(known, on="query_id", how="left", maintain_order="left")
    else:
        asked = asked.with_columns(locale=pl.lit(None, dtype=pl.String), text=pl.lit(None, dtype=pl.String))
    asked = asked.with_columns(pl.col("locale").fill_null("en"), pl.col("text").fill_null(""))
    if dataset.products is None:
        products = pl.DataFrame({"product_id": [""], "locale": ["en"], "title": [""]})
        product = np.zeros(events.height, dtype=np.int64)
    else:
        fields = ["product_id", "locale", *(n for n in PRODUCT_FIELDS if n in dataset.products.columns)]
        products = dataset.products.select(fields)
        keys = products.select("product_id", "locale").with_row_index("_product")
        found = asked.join(keys, on=["product_id", "locale"], how="left", maintain_order="left")["_product"]
        unknown = found.is_null() & asked["product_id"].is_not_null()
        if unknown.any():
            row = int(unknown.arg_max() or 0)
            raise DataError(
                f"{dataset.source}: event {asked['event_id'][row]!r}: product {asked['product_id'][row]!r} is not in "
                f"table products in the locale {asked['locale'][row]!r} (events like this: {unknown.sum()}). "
                "Add the product or remove the event."
            )
        # Events without a product share an empty one at the end.
        nothing = pl.DataFrame({"product_id": [""], "locale": ["en"], "title": [""]})
        product = found.fill_null(products.height).to_numpy().astype(np.int64)
        products = pl.concat([products, nothing], how="diagonal")
    queries = asked.drop("query_id", "product_id").rename({"event_id": "query_id"})
    return Corpus(queries, products), product
