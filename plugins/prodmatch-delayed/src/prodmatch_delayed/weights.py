"""The methods' losses of single rows, as functions of what the models say; natural logarithms throughout.

p is the served model's P(conversion) and b an observed share. With `late` = P(converts after the first label | x) and
`genuine` = P(never converts | x, first label 0), observed labels q(x, y) are weighed by p(x, y) / q(x, y). Models in
weights have no gradient.

FNW and FNC: arXiv 1907.06558, section 3. FSIW: arXiv 2002.02068, section 4.1. ES-DFM: arXiv 2012.03245, equation 9.
DEFER: arXiv 2104.14121, section 4.2. DEFUSE: arXiv 2202.06472, section 4.2. DFM: Chapelle, KDD 2014, section 3.
`exact` and `signals` follow from the same ratio without the methods' common factor 1 + late.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor
from torch.nn import functional

from prodmatch_delayed.streams import LATE

LEAST = 1e-6
"Probabilities and hours below this count as this."


@attrs.frozen(eq=False)
class Seen:
    """Rows of a batch as the methods read them; all tensors have shape (n,).

    Attributes:
        logit: float32 log-odds of a conversion.
        positive: bool label, as known then.
        kind: FRESH, LATE or SETTLED.
        late: float32 in 0..1, or None for methods that do not read it; likewise the others.
        genuine: float32 in 0..1, of rows whose label is 0.
        in_time: float32 in 0..1, P(converts before the first label | x, converts), of FSIW.
        log_rate: float32 logarithm of the conversions an hour, of DFM.
        elapsed, delay: float32 hours, of DFM.
    """

    logit: Tensor
    positive: Tensor
    kind: Tensor
    late: Tensor | None = None
    genuine: Tensor | None = None
    in_time: Tensor | None = None
    log_rate: Tensor | None = None
    elapsed: Tensor | None = None
    delay: Tensor | None = None


@attrs.frozen(eq=False)
class Terms:
    """What a row adds: `towards` times -log p, and `against` times -log(1 - p), (n,) float32 each, no gradient."""

    towards: Tensor
    against: Tensor


def row_losses(method: str, seen: Seen, clip: float = float("inf")) -> tuple[Tensor, Terms]:
    """Return the loss of each row, (n,) float32, and the weights it was made with.

    Args:
        method: one of `configs.METHODS`.
        seen: the rows.
        clip: largest weight.
    """
    if method == "dfm":
        each = _survival(seen)
        return each, _plain(seen)
    if method == "fnc":
        return torch.where(seen.positive, *told_twice(seen.logit)), _plain(seen)
    terms = importance(method, seen)
    clipped = Terms(terms.towards.clamp(max=clip), terms.against.clamp(max=clip))
    towards, against = functional.softplus(-seen.logit), functional.softplus(seen.logit)
    return clipped.towards * towards + clipped.against * against, terms


def importance(method: str, seen: Seen) -> Terms:
    """Return the importance weights of each row, before clipping."""
    f = seen.logit.detach().sigmoid()
    one, none = torch.ones_like(f), torch.zeros_like(f)
    if method == "fnw":
        positive, negative = 1 + f, (1 - f) * (1 + f)
    elif method == "fsiw":
        positive, negative = 1 / _given(seen.in_time).clamp_min(LEAST), _given(seen.genuine)
    elif method == "es_dfm":
        positive = 1 + _given(seen.late)
        negative = positive * _given(seen.genuine)
    elif method == "defer":
        # A late conversion is no likelier than a conversion.
        half = torch.minimum(_given(seen.late), f) / 2
        positive, negative = f / (f - half).clamp_min(LEAST), (1 - f) / (1 - f + half).clamp_min(LEAST)
    elif method == "defuse":
        late, genuine = _given(seen.late), _given(seen.genuine)
        positive = torch.where(seen.kind == LATE, one, 1 + late)
        hidden = torch.where(seen.positive, none, (1 - genuine) * late)
        return Terms(
            torch.where(seen.positive, positive, hidden),
            torch.where(seen.positive, none, genuine * (1 + late)),
        )
    elif method in ("exact", "signals"):
        positive, negative = one, _given(seen.genuine)
    else:
        positive, negative = one, one
    return Terms(torch.where(seen.positive, positive, none), torch.where(seen.positive, none, negative))


def genuine_of(there: Tensor, engages: Tensor | None, redeems: Tensor) -> Tensor:
    """Return P(never converts | x, signals, first label 0) by way of the signal, (n,) float32 in 0..1.

    P(converts late | x) = P(engages | x) P(converts | engages, x), where a conversion counts as a sign of its own. Once
    the signal is there, only the second is open.

    Args:
        there: (n,) bool, whether a signal was there by the first label.
        engages: (n,) chance that one comes later, of rows without; None: none does, so these rows stay 0 for certain.
        redeems: (n,) chance that a case with a signal converts after its first label.
    """
    without = torch.ones_like(redeems) if engages is None else 1 - engages * redeems
    return torch.where(there, 1 - redeems, without)


def told_twice(logit: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses of a 1 and of a 0, (n,) each, where every case is told as 0 and, if it is one, again as 1.

    Then 1 is observed with the share b = p / (1 + p): cross entropy on b, written in p, whose fixed point is p itself.
    To train b and serve b / (1 - b) is the same, but for odds above 1, which cannot occur here.
    """
    both = torch.log1p(logit.sigmoid())
    return functional.softplus(-logit) + both, both


def effective_size(weights: Tensor) -> Tensor:
    """Return Kish's effective sample size of (n,) weights as a share of n, in 0..1; 1 without any."""
    square = (weights**2).sum() * len(weights)
    return torch.where(square > 0, weights.sum() ** 2 / square.clamp_min(1e-30), torch.ones_like(square))


def _survival(seen: Seen) -> Tensor:
    rate, p = _given(seen.log_rate), seen.logit.sigmoid()
    converted = functional.softplus(-seen.logit) - rate + rate.exp() * _given(seen.delay)
    within = -torch.expm1(-rate.exp() * _given(seen.elapsed))
    return torch.where(seen.positive, converted, -torch.log1p(-(p * within).clamp(max=1 - LEAST)))


def _plain(seen: Seen) -> Terms:
    one = seen.positive.float()
    return Terms(one, 1 - one)


def _given(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor
