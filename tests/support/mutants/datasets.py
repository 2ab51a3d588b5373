from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import polars as pl

from mutants.mutant import Mutant, mutant
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import write_folder
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import DataError
from prodmatch_core.records import DatasetSpec
from prodmatch_core.testing.worlds import judged_pairs

FILE = "tiny/rows.txt"


def write_rows(folder: Path) -> None:
    """Write the file that all of these readers read: how many judgements there are."""
    (folder / "tiny").mkdir()
    (folder / FILE).write_text("360")


def write_other_rows(config: Any, folder: Path, overwrite: bool) -> None:
    write_folder(judged_pairs(), folder, overwrite)


def healthy(config: Any, context: ReadContext) -> Dataset:
    text = context.find(FILE).read_text()
    if not text:
        raise DataError(f"{FILE}: is empty. Write a number into it.")
    dataset = judged_pairs()
    assert dataset.judgements is not None
    return attrs.evolve(dataset, judgements=dataset.judgements.head(int(text)), engagements=None, source=FILE)


def promising(config: Any, context: ReadContext) -> Dataset:
    """the record gives events, and the data set has no such table. Read it, or correct `gives`."""
    return healthy(config, context)


def stray(config: Any, context: ReadContext) -> Dataset:
    """tiny/rows.txt: table judgements, row 1: product_id 'nowhere' is not in table products in the query's locale
    (rows like this: 1). Add the product or remove the row.
    """
    dataset = healthy(config, context)
    assert dataset.judgements is not None
    first = pl.int_range(pl.len()) == 0
    changed = pl.when(first).then(pl.lit("nowhere")).otherwise("product_id").alias("product_id")
    return attrs.evolve(dataset, judgements=dataset.judgements.with_columns(changed))


def mislabelled(config: Any, context: ReadContext) -> Dataset:
    """the record declares the labels mismatch, match, and the data set has match, mismatch. Correct one of them."""
    return healthy(config, context)


def torn(config: Any, context: ReadContext) -> Dataset:
    """query_id 'q0' is in more than one split: what is learnt of it is tested on it. Divide judgements by query_id."""
    dataset = healthy(config, context)
    assert dataset.judgements is not None
    first = pl.int_range(pl.len()) == 0
    changed = pl.when(first).then(pl.lit("test")).otherwise("split").alias("split")
    return attrs.evolve(dataset, judgements=dataset.judgements.with_columns(changed))


def without_valid(config: Any, context: ReadContext) -> Dataset:
    """judgements have no row in split valid. Cut it out of train, by `context.split`, or make the sample larger."""
    dataset = healthy(config, context)
    assert dataset.judgements is not None
    return attrs.evolve(dataset, judgements=dataset.judgements.filter(pl.col("split") != "valid"))


def of_its_place(config: Any, context: ReadContext) -> Dataset:
    """the same files read twice differ in queries. Keep the order of the files, and let no path, clock or set decide."""
    dataset = healthy(config, context)
    assert dataset.queries is not None
    return attrs.evolve(
        dataset, queries=dataset.queries.with_columns(text=pl.col("text") + str(context.root))
    )


class Constant(Dataset):
    """the fingerprint does not change with table products: a run would reuse results of other data. Leave `fingerprint`
    to Dataset.
    """

    def fingerprint(self) -> str:
        return self.name


def constant(config: Any, context: ReadContext) -> Dataset:
    dataset = healthy(config, context)
    return Constant(**{field.name: getattr(dataset, field.name) for field in attrs.fields(Dataset)})


def looks_nowhere(config: Any, context: ReadContext) -> Dataset:
    """where files are absent, the reader fails with ValueError: no rows. Find files with `context.find`."""
    assert context.root is not None
    if not (context.root / FILE).is_file():
        raise ValueError("no rows")
    return healthy(config, context)


def says_nowhere(config: Any, context: ReadContext) -> Dataset:
    """where files are absent, the reader says "no rows were found here" and not where it looked. Find files with
    `context.find`.
    """
    assert context.root is not None
    if not (context.root / FILE).is_file():
        raise DataError("no rows were found here")
    return healthy(config, context)


def needs_nothing(config: Any, context: ReadContext) -> Dataset:
    """the reader reads without its files. Take every path from the configuration."""
    assert context.root is not None
    if not (context.root / FILE).is_file():
        return judged_pairs()
    return healthy(config, context)


def anonymous(config: Any, context: ReadContext) -> Dataset:
    """the data set has no licence. Set it: reports print it."""
    return attrs.evolve(healthy(config, context), licence="")


def other_writer(config: Any, context: ReadContext) -> Dataset:
    """the folder that the writer wrote reads back to other tables than the part reads. Make both from one source."""
    return healthy(config, context)


def dataset(check: str, factory: Any, told: Any = None, **fields: Any) -> Mutant:
    gives = {"products", "queries", "judgements"}
    return mutant(
        check,
        DatasetSpec,
        factory,
        told,
        **{"gives": gives, "sample": "mutants.datasets:write_rows", **fields},
    )


HEALTHY = [dataset("healthy", healthy, labels=lambda config: ("match", "mismatch"))]
MUTANTS = [
    dataset("tables_keep_their_schema", promising, gives={"products", "events"}),
    dataset("tables_fit_each_other", stray),
    dataset("labels_are_as_declared", mislabelled, labels=lambda config: ("mismatch", "match")),
    dataset("splits_do_not_leak", torn),
    dataset("splits_do_not_leak", without_valid),
    dataset("fingerprint_is_stable", of_its_place),
    dataset("fingerprint_is_sensitive", constant, Constant),
    dataset("absent_files_are_named", looks_nowhere),
    dataset("absent_files_are_named", says_nowhere),
    dataset("absent_files_are_named", needs_nothing),
    dataset("origin_is_told", anonymous),
    dataset("writer_writes_what_is_read", other_writer, writer="mutants.datasets:write_other_rows"),
]
