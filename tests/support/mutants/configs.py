"""Configuration classes of the mutants; light, as the kit demands of all but one."""

from __future__ import annotations

import attrs

from prodmatch_core.fields import at_least, non_negative, positive


@attrs.frozen
class Silent:
    """Silent does not say what power is. Put a string under the field."""

    power: float = attrs.field(default=1.0, validator=positive)


@attrs.frozen
class Swallowed:
    """the field weight can never be set: weight is a key of the section around the part. Call it something else."""

    weight: float = attrs.field(default=1.0, validator=positive)
    "Hidden behind the section's own weight."


@attrs.frozen
class Growing:
    """the configuration changes when it is written out and read: power. Keep what the file says in the fields, and
    derive other values from them in properties.
    """

    power: float = attrs.field(default=1.0, validator=positive)
    "Doubled whenever it is read."

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "power", 2 * self.power)


@attrs.frozen
class Greedy:
    """an unknown key is taken without a word. Do not take fields the class does not declare."""

    # Only a field of that very name gets past the structurer, which refuses unknown keys by itself.
    no_such_field: int = attrs.field(default=0, validator=at_least(0))
    "Stands for a key that no class declares."


@attrs.frozen
class Needy:
    """the part cannot be configured from its record's example: power: missing; a number above 0 is required. Give
    the record an example with a value for every required field.
    """

    power: float = attrs.field(validator=positive)
    "Has no default, and the record no example."


@attrs.frozen
class Fanouts:
    """Healthy."""

    fanouts: tuple[int, ...] = (2, 2)
    "Neighbours a node in each layer."


@attrs.frozen
class Folds:
    """Healthy."""

    folds: int = attrs.field(default=3, validator=at_least(2))
    "Parts the training queries are divided into."


@attrs.frozen
class PerPositive:
    """Healthy."""

    per_positive: float = attrs.field(default=1.0, validator=positive)
    "Negatives a match."


@attrs.frozen
class Rate:
    """Healthy."""

    rate: float = attrs.field(default=0.5, validator=non_negative)
    "Share of matches overwritten."
