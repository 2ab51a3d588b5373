"""A pipeline followed step by step: what each member says, what the aggregator and every calibrator make of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import polars as pl

from prodmatch_core.components.aggregator import Contributions, Pairs
from prodmatch_core.components.calibrator import Decisions
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import frame_examples
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.sections import PipelineFile


@attrs.frozen
class Step:
    """One step of a pipeline: what kind of part it is, the part's name and, of a member, the member's."""

    kind: str
    part: str
    name: str = ""


@attrs.frozen(eq=False)
class Trace:
    """What each step made of the same pairs.

    Attributes:
        members: each member's class probabilities, (n, classes) float64.
        uncertainty: how unsure each member is, (n,) float64, NaN where it does not say.
        stages: after the members: the aggregator's decisions (or the only member's own), then each calibrator's.
        pairs: the pairs.
    """

    members: Sequence[np.ndarray]
    uncertainty: Sequence[np.ndarray]
    stages: Sequence[Decisions]
    pairs: Pairs

    @property
    def final(self) -> Decisions:
        """Return what the pipeline decided."""
        return self.stages[-1]


@attrs.frozen(eq=False)
class Traced:
    """A pipeline that shows its steps."""

    pipeline: Pipeline
    member_steps: Sequence[Step]
    stage_steps: Sequence[Step]
    "The step behind each of `Trace.stages`; the first is the only member's where there is no aggregator."

    @classmethod
    def load(cls, run: Path) -> Traced:
        """Read a run directory, as `Pipeline.load` does.

        Raises:
            RunError: the directory is not a run of the match task, or is damaged.
            ConfigError: a part's plugin is no longer installed.
        """
        # Small effects would drown in the rounding of shorter number formats.
        return cls.of(Pipeline.load(run, "fp32"), load_pipeline(run / "resolved.toml"))

    @classmethod
    def of(cls, pipeline: Pipeline, file: PipelineFile) -> Traced:
        """Name the steps of a pipeline by the file it was made from; members that nobody reads take none."""
        read = [member for member in file.member if member.name in pipeline.names]
        members = [Step("member", member.encoder.name, member.name) for member in read]
        first = members[0] if file.aggregator is None else Step("aggregator", file.aggregator.part.name)
        return cls(pipeline, members, [first, *(Step("calibrator", s.part.name) for s in file.calibrator)])

    def follow(self, frame: pl.DataFrame) -> Trace:
        """Return what every step makes of pairs given as `Pipeline.predict` takes them.

        Raises:
            DataError: a column is missing or a text is empty.
        """
        pairs = Pairs(*frame_examples(frame))
        found = [
            member.predict_with_uncertainty(pairs.corpus, pairs.examples) for member in self.pipeline.members
        ]
        tables, uncertainty = zip(*found, strict=True)
        return Trace(tables, uncertainty, self.pipeline.decide(tables, uncertainty, pairs), pairs)

    def contributions(self, trace: Trace) -> Contributions | None:
        """Return what adds up to the aggregator's scores, None where there is no aggregator or it cannot say."""
        aggregator = self.pipeline.aggregator
        if aggregator is None:
            return None
        return aggregator.contributions(
            self.pipeline.members_say(trace.members, trace.uncertainty, trace.pairs)
        )
