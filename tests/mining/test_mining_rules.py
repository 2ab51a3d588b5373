from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.mining.lexical import LexicalIndex
from prodmatch_core.mining.miners import LexicalMiner, VectorMiner
from prodmatch_core.mining.rules import Catalogue, Counts, Mined, Rules

TITLES = ("red dress", "Red  Dress", "blue dress", "red dress xl", "lamp", "desk lamp", "shoe", "")


@attrs.frozen
class Fixed:
    """Vectors that are given."""

    query: np.ndarray
    product: np.ndarray

    def queries(self, rows: np.ndarray) -> np.ndarray:
        return self.query[rows]

    def products(self, rows: np.ndarray) -> np.ndarray:
        return self.product[rows]


def corpus(
    titles: Sequence[str], locales: Sequence[str], queries: Sequence[str], texts: Sequence[str]
) -> Corpus:
    return Corpus(
        pl.DataFrame({"query_id": [str(n) for n in range(len(queries))], "locale": queries, "text": texts}),
        pl.DataFrame(
            {"product_id": [str(n) for n in range(len(titles))], "locale": locales, "title": titles}
        ),
    )


def pairs(*found: tuple[int, int]) -> Examples:
    query, product = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return Examples(query, product, np.zeros(len(query)), np.ones(len(query)))


def line(scores: Sequence[float], titles: Sequence[str] = (), judged: Sequence[int] = ()) -> Catalogue:
    """Return one query whose match is product 0; scores are the products' only coordinate."""
    names = titles or [f"title {n}" for n in range(len(scores))]
    found = pairs((0, 0), *((0, n) for n in judged))
    return Catalogue.of(corpus(names, ["en"] * len(scores), ["en"], ["q"]), pairs((0, 0)), found)


def mine(
    catalogue: Catalogue, scores: Sequence[float], rules: Rules, memory: int = 1 << 20
) -> tuple[list[int], Counts]:
    miner = VectorMiner(Fixed(np.ones((1, 1), dtype=np.float32), np.array(scores, dtype=np.float32)[:, None]))
    counts = Counts()
    blocks = list(catalogue.mine(miner, rules, counts, memory))
    return [int(p) for block in blocks for p in block.product], counts


SCORES = [0.8, 0.9, 0.79, 0.7, 0.5, 0.2]
"Product 0 is the match; 1 scores above it."


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(), [1, 2, 3, 4, 5]),
        (Rules(first=2, last=4), [2, 3, 4]),
        (Rules(last=1), [1]),
        (Rules(absolute_margin=0.0), [2, 3, 4, 5]),
        (Rules(absolute_margin=0.25), [4, 5]),
        (Rules(relative_margin=0.1), [3, 4, 5]),  # at most 0.72
        (Rules(relative_margin=0.1, last=3), [3]),  # ranks count before margins
        (Rules(absolute_margin=0.05, relative_margin=0.2), [4, 5]),  # at most 0.64
        (Rules(max_score=0.7), [3, 4, 5]),
        (Rules(min_score=0.5), [1, 2, 3, 4]),
        (Rules(min_score=0.5, max_score=0.7), [3, 4]),
        (Rules(first=6, last=9), []),
    ],
)
def test_depth_margins_and_bounds_leave_what_they_say(rules: Rules, expected: list[int]) -> None:
    assert mine(line(SCORES), SCORES, rules)[0] == expected


def test_a_relative_margin_lowers_the_bound_of_a_score_below_0() -> None:
    np.testing.assert_allclose(
        Rules(relative_margin=0.5).bound(np.array([-0.4, 0.4])), [-0.6, 0.2], rtol=1e-6
    )


def test_margins_are_relative_to_the_lowest_scoring_match() -> None:
    catalogue = Catalogue.of(
        corpus(["a", "b", "c", "d"], ["en"] * 4, ["en"], ["q"]), pairs((0, 0), (0, 1)), pairs((0, 0), (0, 1))
    )
    scores = np.array([0.9, 0.6, 0.7, 0.5], dtype=np.float32)
    miner = VectorMiner(Fixed(np.ones((1, 1), dtype=np.float32), scores[:, None]))
    (block,) = catalogue.mine(miner, Rules(absolute_margin=0.0), Counts(), 1 << 20)
    assert (block.product.tolist(), block.positive.tolist(), block.rank.tolist()) == ([3], [1], [2])
    np.testing.assert_allclose(block.positive_score, [0.6])
    np.testing.assert_allclose(block.score, [0.5])


def test_judged_products_take_no_rank() -> None:
    found, counts = mine(line(SCORES, judged=[1, 3]), SCORES, Rules(last=2))
    assert found == [2, 4]
    assert (counts.judged, counts.considered) == (3, 2)


def test_products_of_one_title_count_once_and_those_of_a_judged_title_never() -> None:
    titles = ["Red dress", "red  DRESS", "lamp", "Lamp", "shoe", ""]
    assert mine(line(SCORES, titles), SCORES, Rules())[0] == [2, 4, 5]
    assert mine(line(SCORES, titles), SCORES, Rules(distinct_titles=False))[0] == [2, 3, 4, 5]
    assert mine(line(SCORES, titles), SCORES, Rules())[1].repeated_titles == 2


def test_a_product_without_title_is_no_twin_of_another() -> None:
    assert mine(line(SCORES, ["a", "", "", "b", "c", "d"]), SCORES, Rules())[0] == [1, 2, 3, 4, 5]


def test_the_guard_leaves_out_what_is_nearly_a_match() -> None:
    titles = [
        "Acme desk lamp 40 W white",
        "Acme desk lamp 40 W  White!",
        "lamp",
        "shoe",
        "dress",
        "Acme desk lamp",
    ]
    found, counts = mine(line(SCORES, titles), SCORES, Rules(max_likeness=0.95))
    assert (found, counts.guarded) == ([2, 3, 4, 5], 1)
    assert mine(line(SCORES, titles), SCORES, Rules(max_likeness=1.0))[0] == [1, 2, 3, 4, 5]


def test_what_each_rule_left_out_adds_up() -> None:
    titles = ["desk lamp", "desk lamp!", "b", "c", "d", "e"]
    rules = Rules(relative_margin=0.1, max_score=0.6, max_likeness=0.9)
    _, counts = mine(line(SCORES, titles), SCORES, rules)
    assert counts == Counts(queries=1, judged=1, considered=5, margin=2, score=1, guarded=0, candidates=2)


def test_a_query_left_without_candidates_is_counted() -> None:
    found, counts = mine(line([0.5, 0.9]), [0.5, 0.9], Rules(absolute_margin=0.0))
    assert (found, counts.without, counts.margin) == ([], 1, 1)


def test_a_locale_of_nothing_but_matches_gives_nothing() -> None:
    found, counts = mine(line([0.5]), [0.5], Rules())
    assert (found, counts.considered) == ([], 0)


def reference(
    catalogue: Catalogue, scores: np.ndarray, alike: np.ndarray, rules: Rules, floor: float
) -> list[tuple[int, int, int]]:
    """Return (query, product, rank) by following the rules one product at a time."""
    titles = catalogue.title.tolist()
    judged = list(zip(*(part.tolist() for part in catalogue.judged), strict=True))
    matches = list(zip(*(part.tolist() for part in catalogue.matches), strict=True))
    found = []
    for query in sorted({q for q, _ in matches}):
        own = [p for q, p in matches if q == query]
        banned = {titles[p] for q, p in judged if q == query}
        bound = rules.bound(np.array([min(scores[query, p] for p in own)], dtype=np.float32))[0]
        ranked, seen = [], set()
        for product, title in enumerate(titles):
            if catalogue.product_locale[product] != catalogue.query_locale[query]:
                continue
            if rules.distinct_titles and title in seen:
                continue
            seen.add(title)
            if title not in banned and scores[query, product] > floor:
                ranked.append((-scores[query, product], product))
        for rank, (score, product) in enumerate(sorted(ranked), start=1):
            inside = rules.first <= rank <= rules.last and -score <= bound
            inside = inside and (rules.min_score is None or -score >= np.float32(rules.min_score))
            inside = inside and (rules.max_score is None or -score <= np.float32(rules.max_score))
            guarded = rules.max_likeness < 1 and max(alike[product, p] for p in own) > np.float32(
                rules.max_likeness
            )
            if inside and not guarded:
                found.append((query, product, rank))
    return found


def optional(values: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    return st.none() | values


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    memory=st.sampled_from([1, 500, 1 << 22]),
    lexical=st.booleans(),
    rules=st.builds(
        Rules,
        first=st.integers(1, 4),
        last=st.integers(4, 9),
        absolute_margin=optional(st.sampled_from([0.0, 0.25, 1.0])),
        relative_margin=optional(st.sampled_from([0.0, 0.1, 0.5])),
        min_score=optional(st.sampled_from([-2.0, 0.1])),
        max_score=optional(st.sampled_from([0.5, 3.0])),
        distinct_titles=st.booleans(),
        max_likeness=st.sampled_from([0.5, 0.9, 1.0]),
    ),
)
def test_mining_follows_the_rules_as_if_one_product_at_a_time(
    seed: int, memory: int, lexical: bool, rules: Rules
) -> None:
    rng = np.random.default_rng(seed)
    products, queries = int(rng.integers(1, 30)), int(rng.integers(1, 5))
    titles = rng.choice(TITLES, products).tolist()
    product_locale, query_locale = rng.choice(["en", "ja"], products), rng.choice(["en", "ja"], queries)
    texts = rng.choice(TITLES[:-1], queries).tolist()
    words = corpus(titles, product_locale.tolist(), query_locale.tolist(), texts)
    fits = np.argwhere(query_locale[:, None] == product_locale[None])
    judged = fits[rng.random(len(fits)) < 0.3]
    matches = judged[rng.random(len(judged)) < 0.5]
    catalogue = Catalogue.of(words, pairs(*map(tuple, matches.tolist())), pairs(*map(tuple, judged.tolist())))

    floor = -np.inf
    scores = np.zeros((queries, products), dtype=np.float32)
    alike = np.zeros((products, products), dtype=np.float32)
    for locale in ("en", "ja"):  # every locale is an index of its own, of the products that may be asked for
        here = np.flatnonzero(product_locale == locale)
        kept = here
        if rules.distinct_titles:
            own = catalogue.matches[1][query_locale[catalogue.matches[0]] == locale]
            kept = np.union1d(here[catalogue.first[catalogue.title[here]] == here], own)
        index = LexicalIndex.of([titles[row] for row in kept])
        n = len(kept)
        a, b = np.divmod(np.arange(n * n), max(n, 1))
        alike[np.ix_(kept, kept)] = index.cosines(index.documents, a, b).reshape(n, n)
        if lexical:
            a, b = np.divmod(np.arange(queries * n), max(n, 1))
            scores[:, kept] = index.cosines(index.bags(texts), a, b).reshape(queries, n)
    if lexical:
        miner: LexicalMiner | VectorMiner = LexicalMiner(texts, titles)
        floor = 0.0
    else:
        vectors = [rng.integers(-2, 3, size=(n, 3)).astype(np.float32) for n in (queries, products)]
        miner, scores = VectorMiner(Fixed(*vectors)), vectors[0] @ vectors[1].T
    blocks: list[Mined] = list(catalogue.mine(miner, rules, Counts(), memory, threads=2))
    found = [
        row for m in blocks for row in zip(m.query.tolist(), m.product.tolist(), m.rank.tolist(), strict=True)
    ]
    assert sorted(found) == sorted(reference(catalogue, scores, alike, rules, floor))
