"""`ShopConfig`: size, seed and dials of the embedded shop. Imports neither Polars nor NumPy."""

from __future__ import annotations

import attrs

from prodmatch_core.fields import at_least, between, unit_interval


@attrs.frozen(kw_only=True)
class ShopConfig:
    """What kind of shop to make. The same configuration gives the same bytes on every number of threads."""

    size: int = attrs.field(default=20_000, validator=at_least(200))
    "Judgements made, before `scarcity`, `tau` and `evidence_spread` thin the training split."
    seed: int = attrs.field(default=0, validator=at_least(0))
    "Which shop: every table and every truth follows from it."
    rater_noise: float = attrs.field(default=0.03, validator=between(0, 0.3))
    "Share of judgements whose recorded label is not the true one; pairs near a border get more of it."
    scarcity: float = attrs.field(default=1.0, validator=unit_interval)
    "Share of non-exact judgements kept in train: nobody wrote the others down."
    cold: float = attrs.field(default=0.1, validator=between(0, 0.9))
    "Share of queries without any engagement, and of products without engagement or training judgement."
    graph_signal: float = attrs.field(default=0.25, validator=unit_interval)
    "Share of products that leave one fact (mostly what they fit) out of their text; behaviour knows it."
    degree_exponent: float = attrs.field(default=2.2, validator=between(1.5, 4))
    "Exponent g of the power law P(degree > k) ~ k^(1-g) that products' popularity follows."
    asymmetry: float = attrs.field(default=0.95, validator=between(0.5, 1))
    "Share of a device-accessory flow that goes from device to accessory; the rest goes back."
    reciprocal: float = attrs.field(default=0.2, validator=unit_interval)
    "Share of all bought-next flow that runs between consumables, equally in both directions."
    events_per_judgement: float = attrs.field(default=2.0, validator=between(0, 100))
    "Conversion events (clicks in the 60-day log) per judgement."
    signal_strength: float = attrs.field(default=0.7, validator=unit_interval)
    "How much a pre-conversion signal says: 0 nothing, 1 converters alone show it, before they convert."
    attribution_days: float = attrs.field(default=30.0, validator=between(1, 90))
    "Window after the click within which a conversion counts."
    drift: float = attrs.field(default=0.4, validator=between(-3, 3))
    "Shift of the conversion log-odds from the first to the last of the 60 days."
    evidence_spread: float = attrs.field(default=0.0, validator=between(0, 5))
    "Segments (type and locale) keep exp(-spread * Exp(1)) of their training queries; at 0, all."
    tau: float = attrs.field(default=1.0, validator=between(1, 1000))
    "Negatives are kept at rate 1/tau in train judgements and in the first 42 days of events; 1 is off."
