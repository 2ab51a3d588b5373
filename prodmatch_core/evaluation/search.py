"""What is searched for in a split of a task that ranks neighbours: the queries, the candidates, what is right."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import numpy as np

from prodmatch_core.data.corpus import Examples
from prodmatch_core.evaluation.retrieved import Retrieved, Scorer, Space, Wanted, cosine_scorer, retrieve
from prodmatch_core.records import MeasureSpec
from prodmatch_core.task_specs import TaskSpec

DEPTH = 20
"Candidates kept a query at least; more where a measure looks further, or a group is larger and MAP at R needs them."


def depth_of(measures: Iterable[MeasureSpec]) -> int:
    """Return how many candidates a query the measures look at."""
    return max([DEPTH, *(spec.k for spec in measures if spec.k is not None)])


@attrs.frozen(eq=False)
class Search:
    """One split's search.

    Attributes:
        reads: the side and the corpus rows of the queries' vectors, then of the candidates'.
        wanted: what is right, as positions in `queries` and `candidates`.
        groups: (queries,) int64 number of each query's group.
        depth: how many candidates are kept.
        examples: (queries,) int64 an example of the split for each query.
        labels: (candidates,) int64 group of each candidate, where queries are candidates; None elsewhere.
    """

    reads: tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]
    wanted: Wanted
    groups: np.ndarray
    depth: int
    examples: np.ndarray
    labels: np.ndarray | None = None

    @classmethod
    def of(
        cls, task: TaskSpec, split: Examples, known: Examples, products: int, depth: int = DEPTH
    ) -> Search:
        """Return the search of a split.

        Args:
            task: embed, or relate.
            split: its examples.
            known: examples whose answer is known already: edges that are no candidates any more.
            products: how many products the corpus has.
            depth: candidates to keep a query, the largest k of the measures.
        """
        if task.name == "embed":
            return cls._items(split, depth)
        return cls._edges(split, known, products, depth)

    @classmethod
    def _items(cls, split: Examples, depth: int) -> Search:
        """Every item that is not alone in its group looks for the others of the split, itself left out."""
        _, group, sizes = np.unique(split.label, return_inverse=True, return_counts=True)
        order = np.argsort(group, kind="stable")
        starts = np.cumsum(sizes) - sizes
        asking = np.flatnonzero(sizes[group] > 1)
        counts = sizes[group[asking]]
        query = np.repeat(np.arange(len(asking)), counts)
        offset = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
        candidate = order[np.repeat(starts[group[asking]], counts) + offset]
        other = candidate != asking[query]
        wanted = Wanted(query[other], candidate[other], np.arange(len(asking)), asking)
        return cls(
            reads=(("product", split.product[asking]), ("product", split.product)),
            wanted=wanted,
            groups=np.unique(group[asking], return_inverse=True)[1],
            depth=max(depth, int(counts.max(initial=1)) - 1),
            examples=asking,
            labels=group,
        )

    @classmethod
    def _edges(cls, split: Examples, known: Examples, products: int, depth: int) -> Search:
        """Every product with a hidden edge looks among all products; itself and known targets are left out."""
        sources, first, query = np.unique(split.query, return_index=True, return_inverse=True)
        place = np.searchsorted(sources, known.query)
        asked = (place < len(sources)) & (sources[np.minimum(place, len(sources) - 1)] == known.query)
        wanted = Wanted(
            query,
            split.product,
            np.concatenate([np.arange(len(sources)), place[asked]]),
            np.concatenate([sources, known.product[asked]]),
        )
        return cls(
            reads=(("query", sources), ("product", np.arange(products))),
            wanted=wanted,
            groups=np.arange(len(sources)),
            depth=depth,
            examples=first,
        )

    def run(self, queries: np.ndarray, candidates: np.ndarray) -> Retrieved:
        """Return what the vectors of queries and candidates find, by cosine."""
        return self.rank(cosine_scorer(queries, candidates))

    def rank(self, score: Scorer) -> Retrieved:
        """Return what a scorer of queries against all candidates finds."""
        (_, queries), (_, candidates) = self.reads
        found = retrieve(score, len(queries), len(candidates), self.wanted, self.groups, self.depth)
        if self.labels is None:
            return found
        return attrs.evolve(found, space=Space(score, self.examples, self.labels))
