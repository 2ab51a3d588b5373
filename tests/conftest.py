"""Fixtures that more than one area of the tests uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from prodmatch_core.data.dataset import Dataset, LabelScheme

COLOURS = ("red", "blue", "green", "black")
THINGS = ("kettle", "lamp", "chair", "mug", "rug", "clock")


@pytest.fixture(scope="session")
def tiny_dataset() -> Dataset:
    """Return 60 queries `<colour> <thing>` with 6 products each: a match names both words, a mismatch one."""
    rng = np.random.default_rng(7)
    wanted = [(c, t, n) for n in range(3) for c in COLOURS for t in THINGS][:60]
    products, judgements = [], []
    for number, (colour, thing, _) in enumerate(wanted):
        split = ("train", "train", "train", "valid", "test")[number % 5]
        for place in range(6):
            other = COLOURS[(COLOURS.index(colour) + 1 + place % 3) % 4]
            match = place < 3
            words = [colour if match else other, thing, f"no{rng.integers(1000)}"]
            products.append({"product_id": f"p{number}-{place}", "title": " ".join(rng.permutation(words))})
            label = "match" if match else "mismatch"
            judgements.append(
                {"query_id": f"q{number}", "product_id": f"p{number}-{place}", "label": label, "split": split}
            )
    queries = [
        {"query_id": f"q{n}", "locale": "en", "text": f"{c} {t} {k}"} for n, (c, t, k) in enumerate(wanted)
    ]
    return Dataset(
        name="tiny",
        scheme=LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",)),
        products=pl.DataFrame(products).with_columns(locale=pl.lit("en")),
        queries=pl.DataFrame(queries),
        judgements=pl.DataFrame(judgements),
        licence="made for tests",
        source="tests/conftest.py",
    )


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the repository."""
    return Path(__file__).parent.parent
