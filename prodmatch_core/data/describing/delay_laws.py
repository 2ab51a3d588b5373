"""Laws of the delay until a conversion, by maximum likelihood, where the log ends before some have come.

An event without a conversion either never converts or has not yet: with p the share that converts at all and F
the law of the delay, an event followed for a time c without a conversion has the likelihood 1 - p F(c), a
conversion after t the likelihood p f(t) (the mixture cure model; Chapelle, "Modeling Delayed Feedback in Display
Advertising", KDD 2014, section 3, without features). p and the law are fitted together, all times in days.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import attrs
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, ndtr

MINIMUM_CONVERSIONS = 20
COMPONENTS = 3
"Exponentials in the mixture: minutes, a day, weeks."
_CELLS = 512  # to an octave of time: 0.14% wide, finer than any law can tell apart
_TINY = 1e-300

Floats = npt.NDArray[np.float64]


@attrs.frozen(eq=False)
class Times:
    """Delays and follow-up times in days, each with how many events have it."""

    delay: Floats
    "(m,) ascending, above 0: from the event to its conversion."
    delays: Floats
    "(m,) how many."
    followed: Floats
    "(k,) ascending: how long an event without a conversion was watched."
    watched: Floats
    "(k,) how many."

    @property
    def events(self) -> float:
        """Return the number of all events."""
        return float(self.delays.sum() + self.watched.sum())


def gather(delay: Floats, followed: Floats) -> Times:
    """Return times gathered into cells of 0.14%, so that a fit costs the same for any number of events.

    Args:
        delay: (n,) days until conversion, above 0.
        followed: (l,) days that each event without conversion was watched; 0 says nothing and is left out.
    """
    return Times(*_cells(delay), *_cells(followed[followed > 0]))


def _cells(values: Floats) -> tuple[Floats, Floats]:
    if not len(values):
        return np.zeros(0), np.zeros(0)
    logs = np.log2(values)
    _, place, counts = np.unique(np.floor(logs * _CELLS), return_inverse=True, return_counts=True)
    return 2 ** (np.bincount(place, weights=logs) / counts), counts.astype(float)


@attrs.frozen
class DelayLaw:
    """A law with its fitted parameters."""

    name: str
    parameters: Mapping[str, float]
    "`mean_days`; `scale_days`, `shape`; `median_days`, `sigma`; or `mean_days_1..3` with `weight_1..3`."
    converting: float
    "p, the share of events that converts sooner or later."
    median_days: float
    log_likelihood: float
    aic: float
    distance: float
    "Largest gap to the Kaplan-Meier curve, as a share of the conversions that curve has."

    def cumulative(self, days: npt.ArrayLike) -> Floats:
        """Return the share of conversions that have come within `days`."""
        return _CUMULATIVE[self.name](np.asarray(days, dtype=float), *self.parameters.values())


def kaplan_meier(times: Times) -> Floats:
    """Return (m,) the share of all events converted within each of `times.delay` (Kaplan and Meier, 1958)."""
    left = np.cumsum(times.delays[::-1])[::-1]
    still = np.concatenate([[0.0], np.cumsum(times.watched)])
    watched = still[-1] - still[np.searchsorted(times.followed, times.delay, side="left")]
    return 1 - np.cumprod(1 - times.delays / (left + watched))


def fit_delay_laws(times: Times) -> list[DelayLaw]:
    """Return the laws fitted, likeliest (least AIC) first; none where there are too few conversions."""
    if times.delays.sum() < MINIMUM_CONVERSIONS or len(times.delay) < 3:
        return []
    curve = kaplan_meier(times)
    laws = [_finish(times, curve, *found) for found in _fits(times)]
    return sorted(laws, key=lambda law: law.aic)


def _fits(times: Times) -> Iterator[tuple[str, list[str], list[float], float, float]]:
    """Yield name, names of parameters, parameters, p and log-likelihood of each law."""
    logs = np.log(times.delay)
    mean = float(np.average(times.delay, weights=times.delays))
    middle = float(np.average(logs, weights=times.delays))
    spread = max(float(np.average((logs - middle) ** 2, weights=times.delays)) ** 0.5, 0.05)

    def exponential(theta: Floats) -> tuple[Floats, Floats]:
        rate = math.exp(-theta[0])
        return -theta[0] - times.delay * rate, -np.expm1(-times.followed * rate)

    def weibull(theta: Floats) -> tuple[Floats, Floats]:
        shape = math.exp(theta[1])
        z = shape * (logs - theta[0])
        seen = np.exp(np.minimum(shape * (np.log(times.followed) - theta[0]), 700))
        return theta[1] - logs + z - np.exp(np.minimum(z, 700)), -np.expm1(-seen)

    def log_normal(theta: Floats) -> tuple[Floats, Floats]:
        sigma = math.exp(theta[1])
        z = (logs - theta[0]) / sigma
        density = -0.5 * z**2 - theta[1] - logs - 0.5 * math.log(2 * math.pi)
        return density, ndtr((np.log(times.followed) - theta[0]) / sigma)

    for name, keys, law, start in (
        ("exponential", ["mean_days"], exponential, [math.log(mean)]),
        ("Weibull", ["scale_days", "shape"], weibull, [middle + 0.5 * spread, math.log(1.2 / spread)]),
        ("log-normal", ["median_days", "sigma"], log_normal, [middle, math.log(spread)]),
    ):
        theta, p, likelihood = _maximum(times, law, start)
        yield name, keys, [math.exp(value) for value in theta], p, likelihood
    weights, means, p, likelihood = _mixture(times)
    keys = [f"{what}_{i + 1}" for i in range(COMPONENTS) for what in ("weight", "mean_days")]
    pairs = zip(weights.tolist(), means.tolist(), strict=True)
    yield "mixture of exponentials", keys, [value for pair in pairs for value in pair], p, likelihood


def _maximum(
    times: Times, law: Callable[[Floats], tuple[Floats, Floats]], start: list[float]
) -> tuple[list[float], float, float]:
    """Return logarithms of the law's parameters, p, and the log-likelihood at the maximum."""
    conversions = float(times.delays.sum())
    share = conversions / times.events
    cured = bool(len(times.watched))  # without it everything converted, p is 1 and not a parameter

    def cost(theta: Floats) -> float:
        p = float(expit(theta[-1])) if cured else 1.0
        density, within = law(theta)
        likelihood = float(times.delays @ density) + conversions * math.log(max(p, _TINY))
        likelihood += float(times.watched @ np.log(np.maximum(1 - p * within, _TINY)))
        return -likelihood / times.events if math.isfinite(likelihood) else math.inf

    first = [*start, math.log(share / (1 - share)) + 0.05] if cured else start
    options = {"xatol": 1e-6, "fatol": 1e-12, "maxiter": 2000, "maxfev": 4000}
    found = minimize(cost, np.array(first), method="Nelder-Mead", options=options)
    theta = found.x.tolist()
    p = float(expit(theta.pop())) if cured else 1.0
    return theta, p, -float(found.fun) * times.events


def _mixture(times: Times) -> tuple[Floats, Floats, float, float]:
    """Return weights and means in ascending order, p and the log-likelihood, by expectation-maximisation."""
    share = times.delays.cumsum() / times.delays.sum()
    means = times.delay[np.searchsorted(share, [0.15, 0.5, 0.9])]
    means = means * np.array([1 / 1.5, 1.0, 1.5])  # apart, however the delays lie
    mass = np.full(COMPONENTS, times.delays.sum() / times.events / COMPONENTS)  # p times the weights
    likelihood = before = -math.inf
    for _ in range(3000):
        density = mass / means * np.exp(-times.delay[:, None] / means)
        survived = mass * np.exp(-times.followed[:, None] / means)
        seen, unseen = density.sum(axis=1), 1 - mass.sum() + survived.sum(axis=1)
        likelihood = float(times.delays @ np.log(np.maximum(seen, _TINY)))
        likelihood += float(times.watched @ np.log(np.maximum(unseen, _TINY)))
        if likelihood - before < 1e-9 * abs(likelihood):
            break
        before = likelihood
        came = times.delays[:, None] * density / np.maximum(seen, _TINY)[:, None]
        waits = times.watched[:, None] * survived / np.maximum(unseen, _TINY)[:, None]
        count = np.maximum(came.sum(axis=0) + waits.sum(axis=0), _TINY)
        # An exponential forgets: who has waited c without a conversion waits another mean on top.
        total = came.T @ times.delay + (waits * (times.followed[:, None] + means)).sum(axis=0)
        mass, means = count / times.events, np.maximum(total / count, 1e-12)
    order = np.argsort(means)
    return mass[order] / mass.sum(), means[order], min(float(mass.sum()), 1.0), likelihood


def _finish(
    times: Times, curve: Floats, name: str, keys: list[str], values: list[float], p: float, likelihood: float
) -> DelayLaw:
    parameters = dict(zip(keys, map(float, values), strict=True))
    cumulative = _CUMULATIVE[name](times.delay, *values)
    grid = np.geomspace(times.delay[0] / 1e3, times.delay[-1] * 1e3, 4000)
    free = len(values) - (name == "mixture of exponentials") + bool(len(times.watched))
    return DelayLaw(
        name=name,
        parameters=parameters,
        converting=p,
        median_days=float(np.interp(0.5, _CUMULATIVE[name](grid, *values), grid)),
        log_likelihood=likelihood,
        aic=2 * free - 2 * likelihood,
        distance=float(np.abs(curve - p * cumulative).max() / curve[-1]),
    )


def _mixed(days: Floats, *values: float) -> Floats:
    total = np.zeros_like(days)
    for weight, mean in zip(values[::2], values[1::2], strict=True):
        total = total - weight * np.expm1(-days / mean)
    return total


_CUMULATIVE: Mapping[str, Callable[..., Floats]] = {
    "exponential": lambda days, mean: -np.expm1(-days / mean),
    "Weibull": lambda days, scale, shape: -np.expm1(-((days / scale) ** shape)),
    "log-normal": lambda days, median, sigma: ndtr(np.log(np.maximum(days, _TINY) / median) / sigma),
    "mixture of exponentials": _mixed,
}
