"""What the embedded shop's graph knows of a pair's label without the pair's own edge, told by boosted trees.

    python benchmarks/evidence_graph_signal.py [--sizes 5000] [--seeds 0 1 2] [--runs DIR]

Figures are of validation rows: this is how the parts of `salam.fusion` were chosen. What is found is kept under
`--runs`, and `evidence_salam.py --page` puts it on its page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import HashingVectorizer

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.lexical import overlap_features
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.shop.reference import judged_texts
from prodmatch_core.evaluation.classification import macro_f1, micro_f1
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.significance import paired_bootstrap
from prodmatch_core.rundata import read_dataset

ROOT = Path(__file__).resolve().parent.parent
FILE = "graph-signal.json"
ASKED = ("impression", "click", "add", "purchase")
"Relations from a query to a product."
SETS: Mapping[str, tuple[str, ...]] = {
    "words": ("words",),
    "graph": ("strength", "paths", "texts"),
    "words + strength": ("words", "strength"),
    "words + paths": ("words", "paths"),
    "words + texts of neighbours": ("words", "texts"),
    "words + graph": ("words", "strength", "paths", "texts"),
    "words + the pair's own edge": ("words", "own"),
    "words + graph + the pair's own edge": ("words", "strength", "paths", "texts", "own"),
}
"What trees are given -> groups of features."
REPLICATES = 500


def main() -> None:
    """Fit the trees of all seeds and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "salam")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    path = options.runs / FILE
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for size in options.sizes:
        kept[str(size)] = figures([shop(size, seed) for seed in options.seeds])
        path.write_text(json.dumps(kept), encoding="utf-8")
    print(*section(kept), sep="\n")


def shop(size: int, seed: int) -> Dataset:
    """Return the embedded shop of a seed."""
    plain = {
        "pipeline": {"name": "graph"},
        "data": {"use": "shop.synthetic", "size": size, "seed": seed},
        "member": [{"encoder": {"use": "core.ngram"}}],
    }
    return read_dataset(load_pipeline(plain), ReadContext())


def figures(shops: list[Dataset]) -> dict[str, Any]:
    """Return the figures of every set of features on the validation rows of some shops, taken together."""
    parts: dict[str, list[Evaluated]] = {name: [] for name in ("majority class", *SETS)}
    shares = []
    for dataset in shops:
        pairs = judged_texts(dataset)
        scheme = dataset.scheme
        assert scheme is not None
        label = pairs["label"].replace_strict(list(scheme.labels), range(len(scheme.labels)))
        labels = label.cast(pl.Int64).to_numpy()
        train, valid = ((pairs["split"] == name).to_numpy() for name in ("train", "valid"))
        features = Features.of(dataset, pairs)
        shares.append({name: float(rows[valid].mean()) for name, rows in features.there.items()})
        prior = np.bincount(labels[train], minlength=len(scheme.labels)) / train.sum()
        told = {"majority class": np.tile(prior, (int(valid.sum()), 1))}
        for name, groups in SETS.items():
            table = np.column_stack([features.groups[group] for group in groups])
            trees = HistGradientBoostingClassifier(
                max_iter=60, learning_rate=0.08, max_leaf_nodes=15, min_samples_leaf=20, random_state=0
            )
            told[name] = trees.fit(table[train], labels[train]).predict_proba(table[valid])
        queries = np.unique(pairs["query_id"].to_numpy()[valid], return_inverse=True)[1]
        for name, probabilities in told.items():
            parts[name].append(
                Evaluated(
                    labels=labels[valid],
                    scheme=scheme,
                    groups=queries,
                    probabilities=probabilities,
                    decisions=probabilities.argmax(axis=1),
                )
            )
    pools = {name: together(found) for name, found in parts.items()}
    words = pools["words"]
    rows = {}
    for name, pool in pools.items():
        chances = pool.probabilities[np.arange(len(pool.labels)), pool.labels]
        found = paired_bootstrap(macro_f1(pool), macro_f1(words), words, seed=0, replicates=REPLICATES)
        rows[name] = {
            "macro": float(macro_f1(pool)(pool.example_weights)),
            "micro": float(micro_f1(pool)(pool.example_weights)),
            "log_loss": float(-np.log(np.maximum(chances, 1e-12)).mean()),
            "gain": [found.value, found.low, found.high],
        }
    there = {name: float(np.mean([share[name] for share in shares])) for name in shares[0]}
    return {"pairs": len(words.labels), "seeds": len(shops), "rows": rows, "there": there}


def together(parts: list[Evaluated]) -> Evaluated:
    """Return the rows of several shops as those of one."""
    names = ("labels", "probabilities", "decisions")
    whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    before = np.cumsum([0, *(part.n_groups for part in parts)])
    whole["groups"] = np.concatenate([part.groups + n for part, n in zip(parts, before, strict=False)])
    return Evaluated(**whole, scheme=parts[0].scheme)


@attrs.frozen(eq=False)
class Features:
    """What is told of judged pairs. Whatever is told of the graph leaves out the pair's own edges, but for `own`."""

    groups: Mapping[str, np.ndarray]
    "Group -> (pairs, features)."
    there: Mapping[str, np.ndarray]
    "What there may be -> (pairs,) bool."

    @classmethod
    def of(cls, dataset: Dataset, pairs: pl.DataFrame) -> Features:
        """Work out the features of pairs."""
        edges, products = dataset.engagements, dataset.products
        assert edges is not None and products is not None and dataset.queries is not None
        number = {
            "query": numbers(dataset.queries["query_id"], edges.filter(src_kind="query")["src"]),
            "product": numbers(products["product_id"], edges["dst"], edges.filter(src_kind="product")["src"]),
        }
        maps = {}
        for (relation, kind), part in edges.group_by("relation", "src_kind", maintain_order=True):
            ends = (number[str(kind)], part["src"]), (number["product"], part["dst"])
            place = [found_in(names, ids) for names, ids in ends]
            shape = (len(number[str(kind)]), len(number["product"]))
            maps[str(relation)] = sparse.csr_matrix((part["count"].to_numpy(), place), shape=shape)
        query = found_in(number["query"], pairs["query_id"])
        product = found_in(number["product"], pairs["product_id"])
        own = np.column_stack([at(maps[name], query, product) for name in ASKED])
        between = {name: graph for name, graph in maps.items() if name not in ASKED}
        strength, warm = [], []
        for column, name in enumerate(ASKED):
            for graph, mine in ((maps[name], own[:, column]), (maps[name] > 0, own[:, column] > 0)):
                sums = [np.asarray(graph.sum(axis=axis)).ravel() for axis in (1, 0)]
                strength += [sums[0][query] - mine, sums[1][product] - mine]
                warm.append(strength[-2:])
        for graph in between.values():
            strength += [np.asarray(graph.sum(axis=axis)).ravel()[product] for axis in (0, 1)]
        ways = [*between.values(), *(graph.T.tocsr() for graph in between.values())]
        paths = [
            np.asarray(maps[name][query].multiply(way[product]).sum(axis=1)).ravel()
            for name in ("impression", "click", "purchase")
            for way in ways
        ]
        linked = np.sum(strength[len(ASKED) * 4 :], axis=0) > 0
        query_warm = np.sum([pair[0] for pair in warm], axis=0) > 0
        product_warm = (np.sum([pair[1] for pair in warm], axis=0) > 0) | linked
        texts = neighbours_texts(dataset, number, maps, between, query, product, own)
        queries, q = np.unique(pairs["text"].to_numpy(), return_inverse=True)
        titles, p = np.unique(pairs["title"].to_numpy(), return_inverse=True)
        return cls(
            {
                "words": overlap_features(queries.tolist(), titles.tolist(), q, p),
                "strength": np.column_stack(strength),
                "paths": np.column_stack(paths),
                "texts": texts,
                "own": own,
            },
            {
                "an impression of the pair itself": own[:, 0] > 0,
                "a click on the pair itself": own[:, 1] > 0,
                "other neighbours of the query": query_warm,
                "other neighbours of the product": product_warm,
                "other neighbours of both": query_warm & product_warm,
                "a click or purchase viewed or bought together with the product": np.sum(
                    paths[len(ways) :], axis=0
                )
                > 0,
            },
        )


def numbers(*ids: pl.Series) -> dict[str, int]:
    """Return a number for each identifier."""
    names = pl.concat([part.alias("id") for part in ids]).unique(maintain_order=True)
    return dict(zip(names, range(len(names)), strict=True))


def found_in(number: Mapping[str, int], ids: pl.Series) -> np.ndarray:
    """Return the number of each identifier, (n,) int64."""
    return np.array([number[name] for name in ids], dtype=np.int64)


def at(graph: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the entries of a matrix at places, (n,) float64."""
    return np.asarray(graph[rows, columns]).ravel().astype(float)


def neighbours_texts(
    dataset: Dataset,
    number: Mapping[str, Any],
    maps: Mapping[str, Any],
    between: Mapping[str, Any],
    query: np.ndarray,
    product: np.ndarray,
    own: np.ndarray,
) -> np.ndarray:
    """Return how the texts of a pair's neighbours compare with the pair's, (pairs, features): cosines of n-grams."""
    assert dataset.products is not None and dataset.queries is not None
    grams = HashingVectorizer(
        analyzer="char_wb", ngram_range=(3, 3), n_features=1 << 14, alternate_sign=False
    )
    titles = dict(dataset.products.select("product_id", "title").unique("product_id", keep="first").rows())
    words = dict(dataset.queries.select("query_id", "text").rows())
    products = grams.transform([titles.get(name, "") for name in number["product"]])
    queries = grams.transform([words.get(name, "") for name in number["query"]])
    found = []
    asked = {}
    for column, name in enumerate(ASKED):
        mine = sparse.diags(own[:, column])
        asked[name] = maps[name][query] @ products - mine @ products[product]
        found += [cosine(asked[name], products[product]), cosine(asked[name], queries[query])]
        found.append(cosine(maps[name].T.tocsr()[product] @ queries - mine @ queries[query], queries[query]))
    for graph in between.values():
        for way in (graph, graph.T.tocsr()):
            near = way[product] @ products
            found += [cosine(near, queries[query]), cosine(near, asked["click"])]
    return np.column_stack(found)


def cosine(left: Any, right: Any) -> np.ndarray:
    """Return the cosines of rows, (n,) float64; 0 where one is empty."""
    sizes = [np.sqrt(np.asarray(side.multiply(side).sum(axis=1)).ravel()) for side in (left, right)]
    return np.asarray(left.multiply(right).sum(axis=1)).ravel() / np.maximum(sizes[0] * sizes[1], 1e-9)


def section(kept: Mapping[str, Any]) -> list[str]:
    """Return the section of the page."""
    lines = [
        "## What the graph knows without the pair's own edge",
        "",
        "Boosted trees (scikit-learn) on features of a pair, fitted on training rows, asked about **validation** rows:",
        "what a model could learn, and what `salam.fusion` was built to see. *Words*: word overlap of query and title.",
        "*Strength*: how much of each relation the two nodes have. *Paths*: products shown to, clicked and bought by",
        "the query's shoppers that are viewed or bought together with the product. *Texts*: cosines of the neighbours'",
        "texts with the pair's. All of them without the pair's own edges.",
        "",
        "    python benchmarks/evidence_graph_signal.py",
        "",
    ]
    for size, found in kept.items():
        shares = "; ".join(f"{name} {share:.0%}" for name, share in found["there"].items())
        lines += [
            f"Shops of {int(size):,} judgements, {found['seeds']} seeds, {found['pairs']:,} validation pairs. Of these",
            f"have: {shares}.",
            "",
            "| trees on | macro F1 | micro F1 | log loss | macro F1 − words |",
            "|---|---:|---:|---:|---:|",
        ]
        for name, row in found["rows"].items():
            gain = "" if name == "words" else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*row["gain"])
            lines.append(
                f"| {name} | {row['macro']:.3f} | {row['micro']:.3f} | {row['log_loss']:.3f} | {gain} |"
            )
        lines.append("")
    return lines


if __name__ == "__main__":
    main()
