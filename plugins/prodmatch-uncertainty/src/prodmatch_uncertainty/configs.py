"""The fields of the parts. Imports nothing heavy: listing and validating load no part."""

from __future__ import annotations

import attrs

from prodmatch_core.fields import (
    Expected,
    at_least,
    below_one,
    non_negative,
    one_of,
    part,
    unit_interval,
)
from prodmatch_core.records import Part
from prodmatch_core.sections import LossEntry, Training

_weights = Expected(
    "a list of numbers of at least 0, not all 0",
    lambda v: not v or (all(non_negative.test(w) for w in v) and any(v)),
)


@attrs.frozen
class LineConfig:
    """A threshold on the score.

    The validation rows, with their natural shares of the classes, choose it. A target that is out of reach is told in
    the log, in the calibrator's `state.json` and in the report, with the best that is in reach; then nothing is
    accepted.
    """

    objective: str = attrs.field(default="recall", validator=one_of("recall", "precision"))
    """`recall`: most recall whose precision is at least `target`; `precision`: most precision whose recall is at least
    `target`."""
    target: float = attrs.field(default=0.9, validator=unit_interval)
    "Precision that accepted pairs must reach, or recall where precision is the objective."
    confidence: float = attrs.field(default=0.0, validator=below_one)
    """Probability with which the target holds for rows like the validation rows: half of the queries propose, the other
    half test with binomial tails. 0: the target holds on the validation rows, and may be missed on others."""
    review: float = attrs.field(default=0.0, validator=unit_interval)
    """Share of all rows that a person can look at; of the rows that are not accepted, those are asked for where most
    matches hide. They are the column `for_review`; what is left is rejected."""
    per_class: bool = False
    """One boundary for every class against the rest, in place of one for matches: a row gets the label whose boundary
    it passes by most, and is accepted where that is a label of the match. A row that passes none keeps its likeliest
    label and is not accepted."""
    seed: int = attrs.field(default=0, validator=at_least(0))
    "Divides the queries into halves where there is a `confidence`."


@attrs.frozen
class RectangleConfig(LineConfig):
    """A threshold on the score for the sure rows or for the unsure ones, whichever serves better."""

    levels: int = attrs.field(default=5, validator=at_least(1))
    "Levels of uncertainty; rows of the same uncertainty are in the same level. More levels overfit sooner."
    binning: str = attrs.field(default="mass", validator=one_of("mass", "width"))
    "Whether levels and bins have equally many rows (`mass`) or are equally wide (`width`)."


@attrs.frozen
class PlaneConfig(RectangleConfig):
    """A threshold on the score for every level of uncertainty."""

    bins: int = attrs.field(default=100, validator=at_least(0))
    "Bins of the score in each level; 0: one for every score that occurs."


@attrs.frozen
class DpConfig(PlaneConfig):
    """The best thresholds for every level of uncertainty, found by dynamic programming.

    Of the validation rows, none of the other boundaries on the same levels and bins, and no single threshold, does
    better.
    """

    sizes: str = attrs.field(default="auto", validator=one_of("auto", "equal", "variable"))
    """How the programme counts what is accepted: in bins (`equal`: fast, checked against the rows), in rows
    (`variable`: exact), or in bins where they are of one size or counting rows would take long (`auto`)."""


@attrs.frozen
class PosteriorConfig:
    """A normalising flow for every class over a few numbers made of an encoder's vectors.

    The density of a class where an example lies, times the class's training examples, is its evidence; one plus the
    evidence are the concentrations of a Dirichlet distribution. Its mean is the prediction. The uncertainty is the
    differential entropy of the probability of a match, a Beta distribution. Train with `uncertainty.uce`.
    """

    encoder: Part = part("encoder")
    "Gives vectors of pairs, or of each side."
    latent: int = attrs.field(default=6, validator=at_least(1))
    "Numbers that an encoder's vector is turned into for the densities."
    layers: int = attrs.field(default=6, validator=at_least(1))
    "Radial flows of each class, one after the other."
    dropout: float = attrs.field(default=0.1, validator=below_one)
    "Share of units dropped in training between the encoder and the latent numbers."


@attrs.frozen
class DropoutConfig:
    """Predictions averaged over dropout masks; the uncertainty is how they vary.

    The masks are drawn once and are the same for every example, so that neither order nor batch mates change a
    prediction. A mask drops whole features: the same ones at every place of a text.
    """

    encoder: Part = part("encoder")
    "Gives vectors of pairs, or of each side."
    samples: int = attrs.field(default=20, validator=at_least(2))
    "Masks that predictions are made with."
    dropout: float = attrs.field(default=0.2, validator=below_one)
    "Share of units dropped in the head, in training and in every mask."
    inside: bool = True
    """Masks go into the encoder's own dropout layers too, which then runs once for each mask; false: only into the
    head."""
    measure: str = attrs.field(
        default="variance", validator=one_of("variance", "mutual_information", "entropy")
    )
    """`variance` of the probability of a match over the masks, `mutual_information` between label and mask, or
    `entropy` of the average."""


@attrs.frozen
class EnsembleConfig:
    """Any encoder, fitted several times with different initial weights and orders of the examples."""

    encoder: Part = part("encoder")
    "Fitted `members` times."
    members: int = attrs.field(default=5, validator=at_least(2))
    "How often."
    measure: str = attrs.field(
        default="variance", validator=one_of("variance", "mutual_information", "entropy")
    )
    """`variance` of the probability of a match over the members, `mutual_information` between label and member, or
    `entropy` of the average."""
    loss: tuple[LossEntry, ...] = ()
    "Terms of each fit's loss; empty: the task's default."
    training: Training = attrs.field(factory=Training)
    "How each is fitted."


@attrs.frozen
class UCEConfig:
    """The logarithm's expectation under the predicted Dirichlet, less a share of its entropy."""

    entropy_weight: float = attrs.field(default=1e-5, validator=non_negative)
    "Weight of the Dirichlet's differential entropy, which keeps evidence from growing without need."


@attrs.frozen
class DisagreementConfig:
    """Members averaged, and how unsure that leaves one."""

    measure: str = attrs.field(
        default="variance", validator=one_of("variance", "mutual_information", "entropy", "members")
    )
    """`variance` of the probability of a match over the members, `mutual_information` between label and member,
    `entropy` of the average, or `members`: the average of what members say of their own doubt."""
    weights: tuple[float, ...] = attrs.field(default=(), validator=_weights)
    "Weight of each member, in the order of the file; empty: all the same."
