"""Run directories written by hand: a comparison reads nothing else of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.comparison.arms import arms_of
from prodmatch_core.comparison.comparing import Settings, compare, standing
from prodmatch_core.comparison.pairing import Sheet, paired
from prodmatch_core.config import to_toml
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.registry import default_registry
from prodmatch_core.rundir import FORMAT
from prodmatch_core.writing import write_json

BINARY = LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",))


def make_run(
    path: Path,
    *,
    loss: str = "core.cross_entropy",
    seed: int = 0,
    split_seed: int = 0,
    right: float | np.ndarray = 0.7,
    noise: int = 0,
    queries: Sequence[int] = range(40),
    per_query: int = 5,
    weight: float = 1.0,
    fingerprint: str = "f1",
    shuffle: int | None = None,
    scheme: LabelScheme = BINARY,
    flipped: int = 0,
    ties: str = "expected",
    versions: Mapping[str, str] | None = None,
) -> Path:
    """Write a match run of a system that decides right on a share of the pairs, or where `right` says so.

    Args:
        path: the run directory to make.
        loss: the setting that makes an arm.
        seed: of the pipeline.
        split_seed: of the split.
        right: share of right decisions, or (pairs,) bool.
        noise: seed of which pairs are decided wrong, and of how sure a decision is.
        queries: numbers of the test queries.
        per_query: pairs of each.
        weight: of every pair.
        fingerprint: of the data.
        shuffle: write the rows in another order, drawn with this seed.
        scheme: of the labels.
        flipped: how many labels to turn round.
        ties: rule for equal scores.
        versions: of the software.
    """
    path.mkdir(parents=True)
    rng = np.random.default_rng([noise, 17])
    query = np.repeat(np.asarray(queries), per_query)
    product = np.tile(np.arange(per_query), len(queries))
    truth = (query + product) % 2
    truth[:flipped] = 1 - truth[:flipped]
    correct = rng.random(len(query)) < right if isinstance(right, float) else right
    decided = np.where(correct, truth, 1 - truth)
    lean = rng.uniform(0.5, 1.0, len(query))
    score = np.where(decided == 0, lean, 1 - lean)
    names = np.array(scheme.labels)
    table = pl.DataFrame(
        {
            "query_id": [f"q{n}" for n in query],
            "product_id": [f"q{q}-p{p}" for q, p in zip(query, product, strict=True)],
            "split": "test",
            "label": names[truth],
            "weight": np.full(len(query), weight),
            "decided": names[decided],
            f"p_{names[0]}": score,
            f"p_{names[1]}": 1 - score,
        }
    )
    if shuffle is not None:
        table = table[np.random.default_rng(shuffle).permutation(table.height)]
    table.write_parquet(path / "decisions.parquet")
    measures = {name: {"value": 0.5} for name in ("macro_f1", "accuracy", "roc_auc", "average_precision")}
    write_json(
        path / "metrics.json",
        {
            "name": "made",
            "task": "match",
            "headline": "macro_f1",
            "lines": [{"name": "pipeline", "measures": measures}],
        },
    )
    write_json(
        path / "provenance.json",
        {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "scheme": attrs.asdict(scheme),
            "ties": ties,
            "distributions": versions or {"prodmatch-core": "1"},
        },
    )
    tree: dict[str, Any] = {
        "pipeline": {"name": path.name, "task": "match", "seed": seed},
        "data": {"use": "made", "split": {"seed": split_seed}},
        "member": [{"loss": [{"use": loss}]}],
    }
    (path / "resolved.toml").write_text(to_toml(tree))
    return path


def make_neighbour_run(path: Path, *, loss: str, hits: np.ndarray, seed: int = 0, relevant: int = 1) -> Path:
    """Write an embed run that found what `hits`, (queries, depth) bool, says."""
    make_run(path, loss=loss, seed=seed)
    (path / "decisions.parquet").unlink()
    queries, depth = hits.shape
    pl.DataFrame(
        {
            "query": [f"i{n}" for n in range(queries) for _ in range(depth)],
            "group": [f"g{n // 2}" for n in range(queries) for _ in range(depth)],
            "rank": np.tile(np.arange(1, depth + 1), queries),
            "neighbour": [
                f"i{(n + k + 1) % (queries + depth)}" for n in range(queries) for k in range(depth)
            ],
            "score": np.tile(np.linspace(0.9, 0.1, depth), queries),
            "right": hits.ravel(),
            "relevant": np.full(queries * depth, relevant),
        }
    ).write_parquet(path / "neighbours.parquet")
    measures = {name: {"value": 0.5} for name in ("hit_rate@1", "map_at_r")}
    lines = [{"name": "pipeline", "measures": measures}]
    write_json(
        path / "metrics.json", {"name": "made", "task": "embed", "headline": "hit_rate@1", "lines": lines}
    )
    return path


def make_comparison(root: Path, pairs: Sequence[tuple[int, int]] = ((1, 0), (2, 0))) -> dict[str, Any]:
    """Return the figures of three arms of two seeds: the second is clearly better than the first, the third like it."""
    losses = ("core.cross_entropy", "core.focal", "core.other")
    for loss, right in zip(losses, (0.6, 0.9, 0.6), strict=True):
        for seed in range(2):
            make_run(root / loss / f"seed-{seed}", loss=loss, seed=seed, right=right, noise=seed + len(loss))
    arms = arms_of(paired([Sheet.read(path.parent) for path in sorted(root.glob("*/*/provenance.json"))]))
    specs = [default_registry().measure(name) for name in ("macro_f1", "nll", "roc_auc")]
    found = compare(arms, pairs, specs, Settings(replicates=200))
    for one in found["differences"]:
        one["standing"] = standing(one, found["directions"][one["measure"]], 0.95)
    return {**found, "failed": {}, "notes": ["measured on something"]}
