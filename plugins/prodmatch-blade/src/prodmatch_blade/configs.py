"""The fields of BLADE's parts. Imports nothing heavy."""

from __future__ import annotations

import attrs

from prodmatch_core.builtin.configs import fanouts
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

_number = Expected(
    "a number", lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < float("inf")
)


@attrs.frozen
class AdaptiveConfig:
    """`blade.adaptive`: k(v) = clip(ceil(k_max * (degree / smallest) ** -alpha), k_min, k_max) neighbours of node v."""

    fanouts: tuple[int, ...] = attrs.field(default=(20, 10), validator=fanouts)
    "Most neighbours read per node in each layer (k_max); the layer next to the wanted nodes comes first."
    least: int = attrs.field(default=2, validator=at_least(1))
    "Fewest neighbours read of a node that has as many (k_min), at most those of `fanouts`."
    alpha: float = attrs.field(default=0.5, validator=non_negative)
    "How fast neighbourhoods shrink as degrees grow; 0: the same number for all nodes."
    smallest: int = attrs.field(default=1, validator=at_least(1))
    "Degree up to which a node gets the most neighbours (deg_min)."
    gamma: float = attrs.field(default=0.0, validator=_number)
    "A neighbour is as likely as its degree to this power; 0: all the same, below 0: rare ones first."


@attrs.frozen
class DualConfig:
    """`blade.dual`: a source and a target vector of every product, each read along the edges that leave or reach it."""

    width: int = attrs.field(default=64, validator=at_least(2))
    "Size of the vectors."
    layers: int = attrs.field(default=2, validator=at_least(1))
    "How far it looks; as many as the sampler has fanouts."
    vectors: str = attrs.field(default="dual", validator=one_of("dual", "shared", "single"))
    """dual: two vectors a product, read along directed edges; shared: one, read along edges both ways, and from it a
    source and a target vector by learnt offsets; single: one, which knows no direction."""
    text: Part | None = part("encoder", default=None)
    "Also reads the products' texts, with a part that gives embeddings."
    learnt: bool = True
    "Whether every product has vectors of its own, learnt; without, texts alone tell products apart."
    dropout: float = attrs.field(default=0.1, validator=below_one)
    "Share of units dropped between layers while training."
    co_view: tuple[str, ...] = ()
    "Relations without a direction that both vectors are read along too, as in DAEMON."
    upto: int = attrs.field(default=0, validator=at_least(0))
    "Products of fewer neighbours are given others, up to so many, which random walks visit most; 0: none."
    walks: int = attrs.field(default=32, validator=at_least(1))
    "Random walks from each such product: out along edges for its source vector, back along them for its target vector."
    steps: int = attrs.field(default=8, validator=at_least(2))
    "Steps of a walk."
    restart: float = attrs.field(default=0.3, validator=unit_interval)
    "Chance that a walk goes back to its start before a step."
    radius: float = attrs.field(default=4.5, validator=positive)
    "Length of every vector, so that scores lie between minus and plus its square."
    cold: int = attrs.field(default=0, validator=at_least(0))
    "Products without edges read the neighbours of so many others, the nearest by their texts; 0: of none."

    def __attrs_post_init__(self) -> None:
        if not self.learnt and self.text is None:
            raise ValueError("expected learnt = true, or a text encoder; else all products are alike")


@attrs.frozen
class BladeNegativesConfig:
    """`blade.negatives`: products that do not follow, and edges turned round."""

    count: int = attrs.field(default=8, validator=at_least(0))
    "Products drawn for each edge."
    pool: int = attrs.field(default=256, validator=at_least(1))
    "Different products drawn for a batch, among which each edge draws its own: fewer neighbourhoods are read."
    power: float = attrs.field(default=0.0, validator=non_negative)
    """A product is drawn as often as 1 + its known in-edges to this power; 0: all the same. Drawing by degree teaches
    to rank rare products high, and hides what is gained for them."""
    reverse: float = attrs.field(default=1.0, validator=non_negative)
    "Weight of an edge turned round, which is added where it is not known that way too; 0: none is."


@attrs.frozen
class AsymmetricConfig:
    """`blade.asymmetric`: logistic loss of the inner product of source and target vectors."""

    bias: float = attrs.field(default=-5.0, validator=_number)
    """Added to every score, so that products at right angles are told apart already: most pairs are no edges. 0 is the
    paper's loss."""
