"""The sections of a pipeline file, as attrs classes: what may be written, its defaults and its bounds.

`config` reads a file into them; `fit` checks whether the parts they name fit each other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from prodmatch_core.data.gains import PROFILES
from prodmatch_core.data.reading import SplitConfig
from prodmatch_core.errors import did_you_mean
from prodmatch_core.fields import (
    Expected,
    at_least,
    below_one,
    non_negative,
    one_of,
    part,
    positive,
    unit_interval,
)
from prodmatch_core.records import Part
from prodmatch_core.task_specs import TASKS, TaskSpec

_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
_identifier = Expected(
    "a short name of letters, digits, - and _",
    lambda v: isinstance(v, str) and re.fullmatch(_NAME, v) is not None,
)
_identifier_or_none = Expected(_identifier.text, lambda v: v == "" or _identifier.test(v))


def _section(kind: str) -> Any:
    """Declare the part of a section: `use` and every key that is not a field of the section go to it."""
    return attrs.field(metadata={"kind": kind, "rest": True})


@attrs.frozen
class PipelineSection:
    """`[pipeline]`: what is run."""

    name: str = attrs.field(validator=_identifier)
    "Name of the run; the run directory is called after it."
    task: str = attrs.field(default="match", validator=one_of(*TASKS))
    "What an example, a head and a prediction are."
    seed: int = attrs.field(default=0, validator=non_negative)
    "Every random number of the run derives from it."


@attrs.frozen
class DataSection:
    """`[data]`: where the examples come from."""

    part: Part = _section("dataset")
    positive: tuple[str, ...] = ()
    "Labels that count as a match; empty: the label scheme's own."
    split: SplitConfig = attrs.field(factory=SplitConfig)
    "How to split a data set that comes without splits."


@attrs.frozen
class RelateSection:
    """`[relate]`: which edges the task relate predicts."""

    relation: str = ""
    "Relation between products; empty: the only one there is."
    hide: str = attrs.field(default="random", validator=one_of("random", "latest"))
    "Edges that are hidden for validation and test: drawn, or the latest."


@attrs.frozen
class ConvertSection:
    """`[convert]`: what counts as a conversion in the task convert."""

    window: float = attrs.field(default=0.0, validator=non_negative)
    "Days after the event in which a conversion counts; 0: whenever it comes."
    hourly: bool = False
    """Go on after training through validation and test, step by step: predict the events of a step, then learn from
    what became known in it. Every event is predicted by a model that had seen nothing from its step on."""
    step: float = attrs.field(default=1.0, validator=positive)
    "Hours of a step."


@attrs.frozen
class LossEntry:
    """`[[member.loss]]`: one term of a member's loss."""

    part: Part = _section("loss")
    weight: float = attrs.field(default=1.0, validator=non_negative)
    "Factor of this term in the sum."
    phases: tuple[str, ...] = ()
    "Phases of training in which the term counts; empty: all."


@attrs.frozen
class Phase:
    """`[[member.training.phase]]`: a stretch of training; what it leaves out is as in `[member.training]`."""

    name: str = attrs.field(default="main", validator=_identifier)
    "Shown in the log."
    epochs: int | None = attrs.field(default=None, validator=attrs.validators.optional(at_least(1)))
    "Passes over the training examples."
    learning_rate: float | None = attrs.field(default=None, validator=attrs.validators.optional(positive))
    "Peak step size of the phase."
    freeze: tuple[str, ...] = ()
    "Sub-modules that keep their weights in this phase, e.g. `encoder`."
    per_locale: bool = False
    """Each locale trains a copy of its own, from where the phases before left the model, on its own examples alone.
    The run keeps what the copy changed, and pairs are scored by their locale's copy, if it has one."""


STREAM = Phase(name="stream")
"The phase after all others where training follows time: an epoch of it is a step of time. No file names it."


@attrs.frozen
class Training:
    """`[member.training]`: how a member is fitted."""

    batch_size: int = attrs.field(default=64, validator=at_least(1))
    "Examples a step over all processes, before negatives are added."
    epochs: int = attrs.field(default=5, validator=at_least(1))
    "Passes over the training examples."
    learning_rate: float = attrs.field(default=1e-3, validator=positive)
    "Peak step size of AdamW."
    stream_rate: float = attrs.field(default=0.0, validator=non_negative)
    "Step size after training, where `convert.hourly` goes on learning; 0: `learning_rate`."
    weight_decay: float = attrs.field(default=0.01, validator=non_negative)
    "Decoupled weight decay; biases, norms and embeddings are spared."
    warmup: float = attrs.field(default=0.1, validator=unit_interval)
    "Share of steps in which the step size rises from 0 to its peak."
    decay: str = attrs.field(default="linear", validator=one_of("linear", "cosine", "constant"))
    "How the step size falls to 0 afterwards."
    clip: float = attrs.field(default=1.0, validator=non_negative)
    "Largest norm of the gradient, of a negative generator's apart from the member's; 0 does not clip."
    head_dropout: float = attrs.field(default=0.1, validator=below_one)
    "Share of units dropped in the task's head."
    precision: str = attrs.field(default="fp32", validator=one_of("fp32", "bf16"))
    "Number format of the forward and backward passes; losses are always fp32."
    patience: int = attrs.field(default=2, validator=at_least(0))
    "Epochs without a better validation measure before training stops; 0 never stops early."
    per_class: int | None = attrs.field(default=None, validator=attrs.validators.optional(at_least(0)))
    """Rows of each class in a batch (K of P x K batches), so that a batch holds pairs of one class; 0: batches are
    shuffled. Left out: 4 in the task embed, 0 in the others."""
    locale_share: float = attrs.field(default=1.0, validator=unit_interval)
    """Exponent of a locale's size in its share of an epoch's rows: 1 takes every row once; below, small locales come
    more often and large ones less; at 0, all locales equally often."""
    measure: str = ""
    "Validation measure that picks the best epoch; empty: the task's headline measure."
    phase: tuple[Phase, ...] = (Phase(),)
    "Phases in order, those per locale last; without any, one that takes all settings from above."

    def __attrs_post_init__(self) -> None:
        names = [phase.name for phase in self.phase]
        regional = [phase.per_locale for phase in self.phase]
        if regional != sorted(regional):
            raise ValueError(
                f'phase "{names[regional.index(True)]}" is per locale and another one for all locales follows; put '
                "those per locale last"
            )


@attrs.frozen
class Member:
    """`[[member]]`: one model of the pipeline."""

    encoder: Part = part("encoder")
    "Turns queries and products into vectors, or fits itself."
    name: str = attrs.field(default="", validator=_identifier_or_none)
    "Name in tables and folders; empty: the encoder's part name."
    loss: tuple[LossEntry, ...] = ()
    "Terms of the loss; empty: the task's default. A part that fits itself takes none."
    negatives: Part | None = part("negative-generator", default=None)
    "Adds training examples that do not match."
    sampler: Part | None = part("graph-sampler", default=None)
    "Picks the neighbourhoods a graph encoder reads."
    training: Training = attrs.field(factory=Training)
    "How it is fitted."
    optional: bool = False
    "Whether the run goes on without the member where it cannot be fitted; the report names it, and why."

    def __attrs_post_init__(self) -> None:
        names = [phase.name for phase in self.training.phase]
        for number, entry in enumerate(self.loss):
            if unknown := sorted(set(entry.phases) - set(names)):
                raise ValueError(
                    f'loss[{number}].phases names "{unknown[0]}"{did_you_mean(unknown[0], names)}; the phases are '
                    f"{', '.join(names)}"
                )
        idle = [name for name in names if not any(self.counts(entry, name) for entry in self.loss)]
        if self.loss and idle:
            raise ValueError(f'no loss counts in phase "{idle[0]}"; add the phase to a loss\'s phases')

    @staticmethod
    def counts(entry: LossEntry, phase: str) -> bool:
        """Return whether a term of the loss counts in a phase."""
        return not entry.phases or phase in entry.phases


@attrs.frozen
class Evaluation:
    """`[evaluation]`: what is measured on the test split, and how surely."""

    measures: tuple[str, ...] = ()
    "Measures beside the task's own; `prodmatch plugins` lists them."
    baselines: tuple[str, ...] | None = None
    """Encoders that fit themselves, measured beside the run with their default fields. Left out: `core.overlap` in the
    task match, none in the others, which bring baselines of their own."""
    replicates: int = attrs.field(default=1000, validator=at_least(100))
    "Bootstrap resamples of the queries."
    level: float = attrs.field(default=0.95, validator=unit_interval)
    "Coverage of the intervals."
    gain_profile: str = attrs.field(default="scheme", validator=one_of("scheme", *PROFILES))
    "What each label is worth in nDCG and in qrels.trec; scheme: what the data's label scheme says."
    ties: str = attrs.field(default="expected", validator=one_of("expected", "trec"))
    "How equal scores are ranked: the expectation over all orders, or trec_eval's order by product id."
    mistakes: int = attrs.field(default=20, validator=at_least(0))
    "How many of the most confident mistakes the report shows."


@attrs.frozen
class AggregatorSection:
    """`[aggregator]`: how the members' predictions become one."""

    part: Part = _section("aggregator")


@attrs.frozen
class CalibratorSection:
    """`[[calibrator]]`: one step that makes probabilities honest or decisions precise; steps run in order."""

    part: Part = _section("calibrator")


@attrs.frozen
class PipelineFile:
    """A whole pipeline file, checked."""

    pipeline: PipelineSection
    data: DataSection
    member: tuple[Member, ...] = attrs.field()
    aggregator: AggregatorSection | None = None
    calibrator: tuple[CalibratorSection, ...] = ()
    evaluation: Evaluation = attrs.field(factory=Evaluation)
    relate: RelateSection = attrs.field(factory=RelateSection)
    convert: ConvertSection = attrs.field(factory=ConvertSection)

    @property
    def task(self) -> TaskSpec:
        """Return what there is to know of the pipeline's task without loading it."""
        return TASKS[self.pipeline.task]

    @property
    def baselines(self) -> tuple[str, ...]:
        """Return the encoders measured beside the run, with the task's own where the file names none."""
        named = self.evaluation.baselines
        return self.task.baselines if named is None else named

    @member.validator
    def _some_members(self, attribute: attrs.Attribute, value: Sequence[Member]) -> None:
        if not value:
            raise ValueError("expected at least one [[member]]")
