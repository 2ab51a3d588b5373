"""A finished run as an object: load it, score pairs with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import polars as pl

from prodmatch_core.components.aggregator import Aggregator, Combined, MemberPredictions, Pairs
from prodmatch_core.components.calibrator import Calibrator, Decisions
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import Corpus, Examples, frame_examples
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import RunError
from prodmatch_core.predictions import frame_of, stack
from prodmatch_core.rundir import Run
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training.fitted import FittedMember

PRECISIONS = ("auto", "fp32", "bf16")
BACKENDS = ("torch", "onnx-int8")


@attrs.frozen(eq=False)
class Pipeline:
    """The members an answer needs, aggregator and calibrators of a run, ready to score.

    pipeline = Pipeline.load("runs/demo")
    pipeline.predict(pl.DataFrame({"query": ["phone case"], "title": ["Slim case for Vexo X10"]}))
    """

    scheme: LabelScheme
    members: Sequence[FittedMember]
    aggregator: Aggregator | None
    calibrators: Sequence[Calibrator]

    @classmethod
    def load(cls, path: str | Path, precision: str = "auto", backend: str = "torch") -> Pipeline:
        """Read a run directory. Nothing in it is executed.

        Args:
            path: what `prodmatch run` wrote.
            precision: number format of the networks: fp32, bf16, or auto for the faster one on this machine.
            backend: torch, or onnx-int8 for members as `prodmatch export` wrote them into the run directory; those that
                cannot be exported stay as they are.

        Raises:
            RunError: the directory is not a run, or is damaged; or nothing was exported for the backend.
            ConfigError: a part's plugin is no longer installed.
            ValueError: there is no such precision or backend.
        """
        if precision not in PRECISIONS or backend not in BACKENDS:
            raise ValueError(f"expected a precision of {PRECISIONS} and a backend of {BACKENDS}")
        run = Run.open(path)
        pipeline, scheme = load_pipeline(run.path / "resolved.toml"), run.scheme
        task = load_task(pipeline.pipeline.task)
        if task.spec.name != "match":
            raise RunError(
                f"{path}: a run of the task {task.spec.name} does not score pairs of query and title. Read its "
                "predictions in the run directory."
            )
        aggregator = None
        read = [member.name for member in pipeline.member]
        if pipeline.aggregator is not None:
            part = pipeline.aggregator.part
            aggregator = part.spec.load().load(part.config, scheme, run.path / "aggregator")
            read = aggregator.reads(read)
        members = [
            FittedMember.load(member, task, scheme, run.path / "members" / member.name)
            for member in pipeline.member
            if member.name in read
        ]
        if backend == "torch":
            members = [member.in_precision(precision) for member in members]
        else:
            from prodmatch_core.onnx_members import exported_members

            members = exported_members(members, run.path)
        calibrators = [
            section.part.spec.load().load(section.part.config, scheme, run.path / "calibrator" / str(number))
            for number, section in enumerate(pipeline.calibrator)
        ]
        return cls(scheme, members, aggregator, calibrators)

    def predict(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with columns `decided accepted score uncertainty p_<label>...` added, rows in order.

        There is a column `for_review` too where a calibrator leaves pairs to a person.

        Args:
            frame: columns `query` and `title`, and where there are any `description bullets brand color locale`.

        Raises:
            DataError: a column is missing or a text is empty.
        """
        pairs = Pairs(*frame_examples(frame))
        if self.aggregator is None:
            found = Combined(*self.members[0].predict_with_uncertainty(pairs.corpus, pairs.examples))
        else:
            found = self.aggregator.answer(Asked(self.members, pairs), self.names)
        return frame_of(frame, self._steps(found)[-1], self.scheme)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the members' names."""
        return tuple(member.name for member in self.members)

    def members_say(
        self, tables: Sequence[np.ndarray], uncertainty: Sequence[np.ndarray], pairs: Pairs
    ) -> MemberPredictions:
        """Return what all members say of the pairs as aggregators read it; arguments as `decide`'s."""
        return stack(self.names, tables, uncertainty, pairs, groups_of(pairs.examples))

    def decide(
        self, tables: Sequence[np.ndarray], uncertainty: Sequence[np.ndarray], pairs: Pairs
    ) -> list[Decisions]:
        """Return the decisions on what the members say, one per step: the aggregator's, then each calibrator's.

        Args:
            tables: each member's class probabilities, (n, classes) float64.
            uncertainty: how unsure each member is, (n,) float64, NaN where it does not say.
            pairs: the n pairs.
        """
        if self.aggregator is None:
            return self._steps(Combined(tables[0], uncertainty[0]))
        return self._steps(self.aggregator.combine(self.members_say(tables, uncertainty, pairs)))

    def _steps(self, found: Combined) -> list[Decisions]:
        steps = [Decisions.plain(found.probabilities, found.uncertainty, self.scheme)]
        for calibrator in self.calibrators:
            steps.append(calibrator.apply(steps[-1]))
        return steps


@attrs.frozen(eq=False)
class Asked:
    """Fitted members that predict what they are asked for, and nothing else (`components.aggregator.Ask`)."""

    members: Sequence[FittedMember]
    pairs: Pairs

    def __call__(self, names: Sequence[str], rows: np.ndarray | None = None) -> MemberPredictions:
        """Return what the members of those names say of the pairs at `rows`, or of all of them."""
        by_name = {member.name: member for member in self.members}
        pairs = self.pairs if rows is None else taken(self.pairs, rows)
        found = [by_name[name].predict_with_uncertainty(pairs.corpus, pairs.examples) for name in names]
        tables, unsure = zip(*found, strict=True)
        return stack(names, tables, unsure, pairs, groups_of(pairs.examples))


def taken(pairs: Pairs, rows: np.ndarray) -> Pairs:
    """Return the pairs at `rows`, with the texts that they need and no others: members prepare whole corpora."""
    examples = pairs.examples.take(rows)
    queries, query = np.unique(examples.query, return_inverse=True)
    products, product = np.unique(examples.product, return_inverse=True)
    corpus = Corpus(pairs.corpus.queries[queries], pairs.corpus.products[products])
    return Pairs(corpus, attrs.evolve(examples, query=query, product=product))


def groups_of(examples: Examples) -> np.ndarray:
    """Return the number of each pair's query, 0..G-1 without gaps, (n,) int64."""
    return np.unique(examples.query, return_inverse=True)[1]
