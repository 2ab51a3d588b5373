"""Looking at a generator: has it collapsed, is it told apart by its make, and how hard is what it writes?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor

from prodmatch_core.components.encoder import Encoding, States
from prodmatch_core.components.negatives import Judge
from prodmatch_core.data.corpus import Examples
from prodmatch_core.errors import ConfigError
from prodmatch_core.training.prediction import evaluating
from prodmatch_quarts.generating import Generating
from prodmatch_quarts.network import Written
from prodmatch_quarts.tuples import near_queries

ROWS = 256
"Validation matches that are looked at."
DRAWS = 10
"Queries written for one item when their variety is counted."
ITEMS = 16
"Items whose variety is counted."
LEAST_KL = 0.1
"Nats under which the latent says nothing."
ACTIVE = 0.01
"Variance over examples from which a unit of the latent's mean counts as used (arXiv 1509.00519, section 5.2)."
TOLD_APART = 0.95
"Area under the ROC curve from which a linear probe tells generated states from read ones."
REPEATS = 0.9
"Share of the true query's tokens from which what is written counts as a copy of it."
KINDS = ("match", "true_decoded", "generated", "mined", "random")
"Whose P(mismatch) is compared, in the order of tables."


def cannot_reread(name: str) -> ConfigError:
    """Return the error for an encoder that reads no written queries."""
    return ConfigError(
        f'negatives.states = "reread": {name} cannot read queries that are written token by token. Use '
        'states = "decoder", or an encoder that is Rereading, such as quarts.attention or baselines.match_pyramid.'
    )


@attrs.frozen(eq=False)
class Probe:
    """What was found."""

    figures: Mapping[str, Any]
    scores: Mapping[str, np.ndarray]
    "Kind -> P(mismatch) of each row looked at."


@torch.no_grad()
def probe(generator: Generating, judge: Judge, rng: np.random.Generator) -> Probe:
    """Look at validation matches: what the classifier says of them, and of what stands in their place."""
    data, lessons = generator.data, generator.lessons
    matches = matches_of(generator, data.valid, ROWS, rng)
    if not len(matches):
        return Probe({}, {})
    noise = noise_of(generator, rng)
    with evaluating(lessons.encoder), evaluating(generator.network):
        encoding = lessons.read(matches.query, matches.product)
        states, written = generator.states(encoding, noise)
        own = mismatch(judge, encoding, generator)
        scores = {"match": own, "generated": mismatch(judge, put(encoding, states), generator)}
        scores["random"] = mismatch(
            judge, lessons.read(rng.permutation(matches.query), matches.product), generator
        )
        near = near_queries(data, matches.query, np.unique(data.train.query))[:, 0]
        if (near >= 0).any():
            there = near >= 0
            scores["mined"] = mismatch(judge, lessons.read(near[there], matches.product[there]), generator)
        decoded = decoded_truth(generator, encoding, matches.query)
        scores["true_decoded"] = mismatch(judge, put(encoding, decoded), generator)
        assert encoding.query_states is not None
        told = told_apart(encoding.query_states, states, rng)
        figures: dict[str, Any] = {
            f"p_mismatch_{kind}": float(scores[kind].mean()) for kind in KINDS if kind in scores
        }
        ids, mask = lessons.written(matches.query)
        figures |= {
            "overlap_generated": overlap(written, ids, mask),
            "overlap_random": overlap(written, *lessons.written(rng.permutation(matches.query))),
            "told_apart": told,
            **latent_figures(generator, encoding, noise),
        }
    return Probe({**figures, "alarms": alarms(figures)}, scores)


def noise_of(generator: Generating, rng: np.random.Generator) -> torch.Generator:
    """Return a source of noise on the generator's device."""
    device = next(generator.network.parameters()).device
    return torch.Generator(device).manual_seed(int(rng.integers(2**63)))


def matches_of(generator: Generating, examples: Examples, most: int, rng: np.random.Generator) -> Examples:
    """Return at most `most` matching examples, drawn."""
    rows = np.flatnonzero(np.isin(examples.label, generator.switch.positive))
    return examples.take(np.sort(rng.permutation(rows)[:most]))


def put(encoding: Encoding, states: States) -> Encoding:
    """Return the encoding with other query states."""
    return attrs.evolve(encoding, query_states=states)


def mismatch(judge: Judge, encoding: Encoding, generator: Generating) -> np.ndarray:
    """Return P(mismatch) of each row, (n,) float64."""
    probabilities = judge(encoding)[:, list(generator.switch.positive)].sum(dim=1)
    return 1.0 - probabilities.double().cpu().numpy()


def decoded_truth(generator: Generating, encoding: Encoding, query: np.ndarray) -> States:
    """Return what stands in the states' place when the decoder is made to write the true query."""
    ids, mask = generator.lessons.written(query)
    if generator.config.states == "reread":
        encoder: Any = generator.encoder
        return encoder.reread(encoder.tokens(ids), ids, mask, encoding)
    memory = generator.network.read(encoding)
    return States(generator.network.taught(memory, memory.draw(None), ids)[1], mask)


def told_apart(read: States, generated: States, rng: np.random.Generator) -> float:
    """Return the area under the ROC curve of a linear probe for "was it generated?", on rows it has not seen."""
    vectors = np.concatenate([_means(read), _means(generated)])
    label = np.repeat([0, 1], [len(read.mask), len(generated.mask)])
    half = np.tile(rng.random(len(read.mask)) < 0.5, 2)  # both forms of a row on one side
    if min(half.sum(), (~half).sum()) < 4:
        return float("nan")
    vectors = (vectors - vectors[half].mean(axis=0)) / (vectors[half].std(axis=0) + 1e-6)
    model = LogisticRegression(max_iter=1000).fit(vectors[half], label[half])
    return float(roc_auc_score(label[~half], model.decision_function(vectors[~half])))


def _means(states: States) -> np.ndarray:
    there = states.mask.unsqueeze(-1)
    found = torch.where(there, states.hidden, 0.0).sum(dim=1) / there.sum(dim=1).clamp_min(1)
    return found.float().cpu().numpy()


def overlap(written: Written, ids: Tensor, mask: Tensor) -> float:
    """Return the mean share of written tokens that are in the queries `ids`, row by row."""
    same = (written.ids[:, :, None] == ids[:, None, :]) & mask[:, None, :]
    found = (same.any(dim=2) & written.mask).sum(dim=1) / written.mask.sum(dim=1).clamp_min(1)
    return float(found.mean())


def latent_figures(generator: Generating, encoding: Encoding, noise: torch.Generator) -> dict[str, float]:
    """Return the KL in nats, the latent units in use, and different queries among DRAWS for one item, on average."""
    memory = generator.network.read(encoding)
    rows = min(ITEMS, len(memory.mean))
    few = attrs.evolve(
        memory,
        states=States(memory.states.hidden[:rows], memory.states.mask[:rows]),
        mean=memory.mean[:rows],
        log_variance=memory.log_variance[:rows],
    )
    drawn = [
        generator.network.write(few, few.draw(noise), generator.config.feed, noise).ids.tolist()
        for _ in range(DRAWS)
    ]
    kinds = [len({tuple(t for t in draw[row] if t) for draw in drawn}) for row in range(rows)]
    spread = memory.mean.float().var(dim=0, correction=0) if len(memory.mean) else memory.mean
    return {
        "kl": float(memory.divergence.mean()),
        "active_units": int((spread > ACTIVE).sum()),
        "distinct": float(np.mean(kinds)),
    }


def alarms(figures: Mapping[str, float]) -> list[str]:
    """Return in words what is wrong with a generator of these figures."""
    found = []
    if figures["kl"] < LEAST_KL:
        found.append(
            f"collapse: the latent says {figures['kl']:.3f} nats, less than {LEAST_KL}; the decoder ignores it. "
            "Lower kl or raise word_dropout."
        )
    if figures["distinct"] <= 1:
        found.append(
            f"collapse: {DRAWS} draws give one and the same query an item. Lower kl or raise word_dropout."
        )
    if figures["overlap_generated"] > REPEATS:
        found.append(
            f"copies: {figures['overlap_generated']:.0%} of the tokens it writes are in the true query, which mostly "
            "matches still. It has not learnt enough: raise tuples or epochs."
        )
    made, told = figures["p_mismatch_true_decoded"], figures["told_apart"]
    middle = (figures["p_mismatch_match"] + figures["p_mismatch_generated"]) / 2
    if told > TOLD_APART and made > middle and made - figures["p_mismatch_match"] > 0.1:
        found.append(
            f"shortcut: the classifier knows generated states by their make (a linear probe tells them apart, AUC "
            f"{told:.2f}): it calls the true query, decoded, a mismatch with {made:.2f}, read "
            f'{figures["p_mismatch_match"]:.2f}. Use states = "reread".'
        )
    return found
