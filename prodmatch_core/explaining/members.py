"""What each member adds to a decision: the decision again with the member's average opinion in place of its own.

Leaving a member out altogether would not do for an aggregator that has learnt from a fixed list of members; an
average opinion, which says nothing of the pair at hand, suits every aggregator.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from prodmatch_core.errors import RunError
from prodmatch_core.explaining.trace import Step, Trace, Traced
from prodmatch_core.rundir import Run


@attrs.frozen(eq=False)
class Without:
    """The decisions on the same pairs without one member's opinion.

    Attributes:
        step: the member.
        effect: (n,) float64, what the member adds to the probability of the decided label: with - without.
        labels: (n,) int64, what is decided without it.
        accepted: (n,) bool, whether the pair is accepted without it.
        changes: (n,) bool, whether the decision is another without it, label or acceptance.
        agrees: (n,) bool, whether the member alone decides for the pipeline's label.
    """

    step: Step
    effect: np.ndarray
    labels: np.ndarray
    accepted: np.ndarray
    changes: np.ndarray
    agrees: np.ndarray


def average_opinions(run: Run, members: Sequence[Step]) -> list[np.ndarray]:
    """Return each member's mean probabilities over the run's test pairs, (classes,) float64 each.

    Raises:
        RunError: a member's predictions are missing or damaged.
    """
    found = []
    for member in members:
        path = run.path / "members" / member.name / "predictions.safetensors"
        try:
            found.append(load_file(path)["test"].mean(axis=0))
        except (OSError, KeyError, SafetensorError) as error:
            raise RunError(
                f"{path}: cannot be read: {error}. Restore the file or run the pipeline again."
            ) from None
    return found


def without_each(traced: Traced, trace: Trace, averages: Sequence[np.ndarray]) -> list[Without]:
    """Return the decisions without each member; none for a pipeline of one member, which has nothing else."""
    if len(trace.members) < 2:
        return []
    final, rows = trace.final, np.arange(len(trace.pairs.examples))
    decided = final.probabilities[rows, final.labels]
    result = []
    for number, step in enumerate(traced.member_steps):
        tables = list(trace.members)
        tables[number] = np.broadcast_to(averages[number], tables[number].shape)
        unsure = list(trace.uncertainty)
        unsure[number] = np.full(len(trace.pairs.examples), np.nan)
        after = traced.pipeline.decide(tables, unsure, trace.pairs)[-1]
        result.append(
            Without(
                step=step,
                effect=decided - after.probabilities[rows, final.labels],
                labels=after.labels,
                accepted=after.accepted,
                changes=(after.labels != final.labels) | (after.accepted != final.accepted),
                agrees=trace.members[number].argmax(axis=1) == final.labels,
            )
        )
    return result
