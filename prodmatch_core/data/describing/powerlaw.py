"""The exponent of a discrete power law by maximum likelihood, and where the law begins.

After Clauset, Shalizi and Newman, "Power-Law Distributions in Empirical Data" (SIAM Review 51, 2009,
arXiv 0706.1062): the likelihood of section 3.1, the error of equation 3.8, the lower end of section 3.3, the
comparison with an exponential tail of section 5.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import zeta

MINIMUM_TAIL = 50
"A law is fitted to no fewer numbers; the paper warns of estimates from less."
CANDIDATES = 100
"Lower ends tried; where there are more different numbers, as many spaced evenly in log scale."
_HIGHEST = 12.0

Ints = npt.NDArray[np.int64]


@attrs.frozen
class PowerLaw:
    """P(x) ~ x^-exponent for whole numbers x >= xmin."""

    exponent: float
    error: float
    "Standard error of the exponent."
    xmin: int
    tail: int
    "Numbers that are at least xmin; the fit says nothing of the others."
    share: float
    "Of all numbers, those in the tail."
    distance: float
    "Kolmogorov-Smirnov distance between the tail and the law."
    against_exponential: float
    "Vuong's z against a geometric tail: above 2 the power law fits clearly better, below -2 clearly worse."

    def survival(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the share of all numbers that is at least `x`, for x >= xmin."""
        return self.share * zeta(self.exponent, np.asarray(x, dtype=float)) / zeta(self.exponent, self.xmin)


def fit_power_law(values: Ints, xmin: int | None = None) -> PowerLaw | None:
    """Return the power law of the tail of whole numbers, None where they are too few to speak of a law.

    Args:
        values: (n,) int64; those below 1 are left out.
        xmin: where the law begins; by default where the tail comes nearest to its law (Kolmogorov-Smirnov).
    """
    unique, counts = np.unique(values[values >= 1], return_counts=True)
    if not len(unique):
        return None
    tails = counts[::-1].cumsum()[::-1]
    total = int(tails[0])
    # Two different numbers fit any exponent, so a tail has three at least.
    allowed = np.flatnonzero(tails[:-2] >= MINIMUM_TAIL) if len(unique) > 2 else np.zeros(0, dtype=np.int64)
    if xmin is not None:
        allowed = allowed[unique[allowed] >= xmin][:1]
    elif len(allowed) > CANDIDATES:
        allowed = allowed[np.unique(np.geomspace(1, len(allowed), CANDIDATES).astype(np.int64) - 1)]
    best: PowerLaw | None = None
    for place in allowed.tolist():
        start = int(unique[place]) if xmin is None else xmin
        law = _fit(unique[place:], counts[place:], start, total)
        if law is not None and (best is None or law.distance < best.distance):
            best = law
    return best


def _fit(unique: Ints, counts: Ints, xmin: int, total: int) -> PowerLaw | None:
    tail = int(counts.sum())
    logs = float(counts @ np.log(unique)) / tail

    def cost(exponent: float) -> float:
        return float(np.log(zeta(exponent, xmin)) + exponent * logs)

    exponent = float(minimize_scalar(cost, bounds=(1.001, _HIGHEST), options={"xatol": 1e-6}).x)
    if not 1.002 < exponent < _HIGHEST - 0.01:
        return None
    step = 1e-3
    curvature = (cost(exponent + step) - 2 * cost(exponent) + cost(exponent - step)) / step**2
    law_at = zeta(exponent, np.concatenate([unique, unique + 1]).astype(float)) / zeta(exponent, xmin)
    seen = counts[::-1].cumsum()[::-1] / tail
    # Between two numbers that occur the share is level and the law goes on falling: both ends are compared.
    gaps = np.abs(np.concatenate([seen, np.append(seen[1:], 0.0)]) - law_at)
    return PowerLaw(
        exponent=exponent,
        error=1 / math.sqrt(tail * max(curvature, 1e-12)),
        xmin=xmin,
        tail=tail,
        share=tail / total,
        distance=float(gaps.max()),
        against_exponential=_vuong(unique, counts, xmin, exponent),
    )


def _vuong(unique: Ints, counts: Ints, xmin: int, exponent: float) -> float:
    """Return the likelihood ratio to the likeliest geometric tail in units of its standard error."""
    tail = counts.sum()
    beyond = (unique - xmin).astype(float)
    chance = 1 / (1 + float(counts @ beyond) / tail)
    ratio = (
        -exponent * np.log(unique)
        - np.log(zeta(exponent, xmin))
        - (math.log(chance) + beyond * math.log1p(-chance))
    )
    mean = float(counts @ ratio) / tail
    deviation = math.sqrt(float(counts @ (ratio - mean) ** 2) / tail)
    return float(mean * math.sqrt(tail) / deviation) if deviation > 0 else 0.0
