"""The fields of the parts. Imports nothing heavy: listing and validating load no part."""

from __future__ import annotations

import attrs

from prodmatch_core.builtin.structure_configs import EventFeaturesConfig
from prodmatch_core.fields import Expected, at_least, non_negative, one_of, part, positive
from prodmatch_core.records import Part

METHODS = (
    "vanilla",
    "fnw",
    "fnc",
    "fsiw",
    "es_dfm",
    "defer",
    "defuse",
    "dfm",
    "exact",
    "signals",
    "oracle",
)
"The methods, in the order in which they were published; `exact` and `signals` are derived here."

FORMS = ("direct", "factored", "settled")
"How `signals` finds the chance that a first label of 0 is a conversion to come."

AT_ONCE = ("fnw", "fnc", "oracle")
"Methods whose first label comes with the event, whatever the waiting window."

_layers = Expected(
    "a list of whole numbers of at least 1",
    lambda v: bool(v) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in v),
)


@attrs.frozen
class ImportanceConfig:
    """`delayed.importance`: log loss on a stream of labels that will change, corrected by importance weights."""

    method: str = attrs.field(default="exact", validator=one_of(*METHODS))
    """Which stream is learnt from, and how its rows are weighed. `vanilla` corrects nothing; `oracle` knows every label
    at once, which nobody does: the two ends of the scale. `signals` weighs by what was done before the label settled,
    the events' `engaged_at`. `fsiw` and `dfm`, made for training anew on all that is known, are approximations here:
    training is read as one picture taken when it ends, every later event once, after `wait`, and a conversion after
    that never reaches the served model; `fsiw` learns its chances from an earlier moment of each event, and from the
    picture too; `dfm` assumes exponential delays, and its chance is that of a conversion at any time, however late."""
    form: str = attrs.field(default="direct", validator=one_of(*FORMS))
    """How `signals` finds the chance that a first label of 0 is a conversion to come. `direct`: one model reads the
    event and its signal. `factored`: P(engages | event) times P(converts | engages, event); once a signal is there, the
    second alone. `settled`: as `factored`, for shops where nothing converts without a signal and every signal comes
    before the first label; rows without one have weight 1. Other methods read no signals."""
    wait: float = attrs.field(default=1.0, validator=non_negative)
    "Hours between an event and its first label; `fnw`, `fnc` and `oracle` do not wait."
    clip: float = attrs.field(default=10.0, validator=positive)
    "Largest importance weight."
    hidden: int = attrs.field(default=64, validator=at_least(1))
    "Units of the hidden layer of a weight model."
    joint: bool = False
    "Whether weight models shape the encoder too; if not, they only read its vectors."
    factor: float = attrs.field(default=1.0, validator=non_negative)
    "Factor of the weight models' own losses."


@attrs.frozen
class EventsConfig(EventFeaturesConfig):
    """`delayed.events`: an event's features, and what any text encoder says of its query and product."""

    hidden: tuple[int, ...] = attrs.field(default=(256, 256, 128), validator=_layers)
    "Units of each layer; the last one is the size of an event's vector."
    text: Part | None = part("encoder", default=None)
    "Encoder of the event's query and product; its vector is read beside the features."
