"""What a data set or reader must do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import polars as pl

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import read_folder
from prodmatch_core.data.splits import check_references
from prodmatch_core.data.tables import SCHEMAS, SPLITS, check_table
from prodmatch_core.errors import DataError, ProdmatchError
from prodmatch_core.records import DatasetSpec
from prodmatch_core.testing.benches.datasets import read, write_sample
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.subject import Subject


def check_tables_keep_their_schema(subject: Subject) -> None:
    """The data set has the tables that the record's `gives` promises, each with the columns and types of its schema."""
    dataset = subject.made
    if not isinstance(dataset, Dataset):
        raise Nonconformance(
            f"the reader returns a {type(dataset).__name__}. Return a `data.dataset.Dataset`."
        )
    promised = subject.part.gives & SCHEMAS.keys()
    if missing := promised - dataset.gives:
        raise Nonconformance(
            f"the record gives {', '.join(sorted(missing))}, and the data set has no such table. Read it, or "
            "correct `gives`."
        )
    for name, table in dataset.tables():
        try:
            check_table(table, SCHEMAS[name], dataset.source)
        except DataError as error:
            raise Nonconformance(f"{error} Make tables as `data.tables` says.") from None


def check_tables_fit_each_other(subject: Subject) -> None:
    """What one table says of another is true: no judgement, edge, item or event names what is not there."""
    if any(_torn(subject.made)):
        raise Skipped("cannot be told from splits_do_not_leak, which the part breaks")
    try:
        check_references(subject.made)
    except DataError as error:
        raise Nonconformance(str(error)) from None


def check_labels_are_as_declared(subject: Subject) -> None:
    """Where the record says which `labels` there are, those are the label scheme's, best match first."""
    assert isinstance(subject.spec, DatasetSpec)
    if subject.spec.labels is None:
        raise Skipped("the record does not say which labels there are")
    declared = tuple(subject.spec.labels(subject.config))
    scheme = subject.made.scheme
    if scheme is None or scheme.labels != declared:
        found = ", ".join(scheme.labels) if scheme else "none"
        raise Nonconformance(
            f"the record declares the labels {', '.join(declared)}, and the data set has {found}. Correct one of them."
        )


def check_splits_do_not_leak(subject: Subject) -> None:
    """All judgements of a query, and all items of a group, are in one split; each of the three splits has rows."""
    for name, key, value in _torn(subject.made):
        raise Nonconformance(
            f"{key} {value!r} is in more than one split: what is learnt of it is tested on it. Divide {name} by {key}."
        )
    for name in ("judgements", "groups"):
        table = getattr(subject.made, name)
        missing = [] if table is None else [split for split in SPLITS if split not in set(table["split"])]
        if missing:
            raise Nonconformance(
                f"{name} have no row in split {' and '.join(missing)}. "
                "Cut it out of train, by `context.split`, or make the sample larger."
            )


def check_fingerprint_is_stable(subject: Subject) -> None:
    """Read again from a copy in another folder, the data set has the same fingerprint."""
    with tempfile.TemporaryDirectory() as folder:
        write_sample(subject, Path(folder))
        again = read(subject, Path(folder))
    if again.fingerprint() != subject.made.fingerprint():
        changed = [
            name
            for name, table in subject.made.tables()
            if getattr(again, name) is None or not table.equals(getattr(again, name))
        ]
        raise Nonconformance(
            f"the same files read twice differ in {', '.join(changed) or 'the label scheme'}. Keep the order "
            "of the files, and let no path, clock or set decide."
        )


def check_fingerprint_is_sensitive(subject: Subject) -> None:
    """A change of one cell, in any table, changes the fingerprint: results of other data are never reused."""
    dataset = subject.made
    for name, table in dataset.tables():
        shorter = attrs.evolve(dataset, **{name: table.slice(0, table.height - 1)})
        texts = [column for column, dtype in table.schema.items() if dtype == pl.String]
        changed = table.with_columns(
            pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("another")).otherwise(texts[0]).alias(texts[0])
        )
        for other in (shorter, attrs.evolve(dataset, **{name: changed})):
            if other.fingerprint() == dataset.fingerprint():
                raise Nonconformance(
                    f"the fingerprint does not change with table {name}: a run would reuse results of other "
                    "data. Leave `fingerprint` to Dataset."
                )


def check_absent_files_are_named(subject: Subject) -> None:
    """Where its files are absent, the reader raises a DataError that names what it looked for."""
    with tempfile.TemporaryDirectory() as folder:
        if not write_sample(subject, Path(folder)):
            raise Skipped("the record has no sample: the part reads no files")
    with tempfile.TemporaryDirectory() as empty:
        try:
            read(subject, Path(empty))
        except DataError as error:
            if empty in str(error):
                return
            raise Nonconformance(
                f'where files are absent, the reader says "{error}" and not where it looked. Find files with '
                "`context.find`."
            ) from None
        except Exception as error:
            raise Nonconformance(
                f"where files are absent, the reader fails with {type(error).__name__}: {error}. Find files "
                "with `context.find`."
            ) from error
    raise Nonconformance("the reader reads without its files. Take every path from the configuration.")


def check_origin_is_told(subject: Subject) -> None:
    """The data set says what it is called, where it comes from and under which licence it is."""
    for field in ("name", "source", "licence"):
        if not getattr(subject.made, field).strip() or (
            field == "source" and subject.made.source == "unknown"
        ):
            raise Nonconformance(f"the data set has no {field}. Set it: reports print it.")


def check_writer_writes_what_is_read(subject: Subject) -> None:
    """The record's `writer` writes a folder that reads back to the data set that the part itself reads."""
    assert isinstance(subject.spec, DatasetSpec)
    write = subject.spec.load_writer()
    if write is None:
        raise Skipped("the record has no writer")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "written"
        try:
            write(subject.config, folder, False)
            written = read_folder(folder)
        except ProdmatchError as error:
            raise Nonconformance(f"what the writer wrote cannot be read: {error}") from error
    if written.fingerprint() != subject.made.fingerprint():
        raise Nonconformance(
            "the folder that the writer wrote reads back to other tables than the part reads. "
            "Make both from one source."
        )


def _torn(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    """Yield (table, key, value) of the first query, and the first group, whose rows are in more than one split."""
    for name, key in (("judgements", "query_id"), ("groups", "group")):
        table = getattr(dataset, name)
        if table is not None:
            torn = table.group_by(key).agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
            yield from ((name, key, value) for value in torn[key].sort().head(1))
