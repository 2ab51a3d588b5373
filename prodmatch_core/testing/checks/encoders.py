"""What an encoder must do. Parts that fit themselves give probabilities and are held to what makes sense for them."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch

from prodmatch_core.components.encoder import Encoder, SelfFittingEncoder, TwoSidedEncoder
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.testing.answers import Answer, difference, near
from prodmatch_core.testing.benches.encoders import ROWS, Asked, unchanged_mode, world_of
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.saved import saved_and_loaded
from prodmatch_core.testing.subject import Subject
from prodmatch_core.training import seeds


def check_gives_what_it_declares(subject: Subject) -> None:
    """What the record's `gives` promises is there: one vector of size `width` an example, or logits of each class.

    An uncertainty is a finite number for every example where it is promised, and none where it is not.
    """
    gives, made = subject.part.gives, subject.made
    classes = len(world_of(subject).fit.scheme.labels)
    if fits_itself := isinstance(made, SelfFittingEncoder):
        given = Asked.of(subject, made)(np.arange(ROWS))["probabilities"]
        if given.shape != (ROWS, classes) or np.abs(given.sum(axis=1) - 1).max() > 1e-6 or (given < 0).any():
            raise Nonconformance(
                f"{ROWS} examples of {classes} classes get probabilities of shape {given.shape}, or rows that "
                "do not sum to 1. Return (n, classes) distributions."
            )
    if fits_itself != ("probabilities" in gives):
        raise Nonconformance(
            "a part gives probabilities if, and only if, it is a SelfFittingEncoder. Correct `gives` or the class."
        )
    asked = Asked.of(subject, made)
    answer = dict(asked(np.arange(ROWS)))
    unsure = answer.pop("uncertainty", np.full(ROWS, np.nan))
    told = np.isfinite(unsure) if "uncertainty" in gives else np.isnan(unsure)
    if unsure.shape != (ROWS,) or not told.all():
        raise Nonconformance(
            f"{ROWS} examples get uncertainties of shape {unsure.shape}, {int(np.isfinite(unsure).sum())} of them "
            f"finite, and the record declares {', '.join(sorted(gives))}. Give one finite number an example, or "
            "correct `gives`."
        )
    if fits_itself:
        return
    sides = set(asked.sides) if "embeddings" in gives else set()
    missing = (
        sides | ({"pair"} if "pairs" in gives else set()) | ({"logits"} if "logits" in gives else set())
    ) - answer.keys()
    if missing:
        raise Nonconformance(
            f"the record declares {', '.join(sorted(gives))}, and the Encoding has no "
            f"{' and no '.join(sorted(missing))}. Give it, or correct `gives`."
        )
    for name, values in answer.items():
        if name == "logits" and values.shape != (ROWS, classes):
            raise Nonconformance(
                f"{ROWS} examples of {classes} classes have logits of shape {values.shape}. Return one for each class."
            )
        if name != "logits" and values.shape != (ROWS, made.width):
            raise Nonconformance(
                f"{ROWS} examples and width {made.width} make {name} of shape {values.shape}. Return one "
                "vector of size `width` an example."
            )
    if "tokens" in gives:
        _states(subject, asked, made)


def _states(subject: Subject, asked: Asked, made: Encoder) -> None:
    if not isinstance(made, TwoSidedEncoder):
        raise Nonconformance(
            "the record declares tokens, and the class is no TwoSidedEncoder. Derive it from that."
        )
    with torch.inference_mode():
        encoding = made.encode(asked.batch(np.arange(ROWS)))
    for side in asked.sides:
        states = getattr(encoding, f"{side}_states")
        if states is None or states.mask.dtype != torch.bool or states.hidden.shape[:2] != states.mask.shape:
            raise Nonconformance(
                f"encode gives no {side}_states of (batch, length, width) with a bool mask (batch, length). Give them."
            )


def check_eval_mode_is_deterministic(subject: Subject) -> None:
    """In evaluation mode the same examples get the same vectors however often they are encoded."""
    if apart := _unsteady(Asked.of(subject, subject.made)):
        raise Nonconformance(
            f"in evaluation mode two passes over the same examples differ by {apart:.3g}. Drop units only "
            "while `self.training`, and keep no state between passes."
        )


def check_batch_independence(subject: Subject) -> None:
    """An example's vectors do not depend on which other examples, of the same length, are in the batch."""
    asked = _steady(subject)
    rows = _of_one_length(asked)
    if len(rows) < 3:
        raise Skipped("no three examples cost the same number of tokens")
    first, mates = rows[0], rows[1:]
    half = max(1, len(mates) // 2)
    left, right = (
        _row(asked(np.concatenate([[first], taken[:half]])), 0) for taken in (mates, mates[::-1].copy())
    )
    if not _same(asked, left, right):
        raise Nonconformance(
            f"an example's vectors differ by {difference(left, right):.3g} with other examples beside it. Take "
            "no statistic over the batch in evaluation mode."
        )


def check_padding_invariance(subject: Subject) -> None:
    """An example's vectors do not depend on how far a longer batch mate pads it."""
    asked = _steady(subject)
    try:
        check_batch_independence(subject)
    except Nonconformance:
        raise Skipped("cannot be told from batch_independence, which the part breaks") from None
    if not isinstance(asked.made, Encoder):
        raise Skipped("a part that fits itself pads nothing")
    cost = asked.cost(np.arange(len(asked.examples)))
    rows = _of_one_length(asked)
    longer = np.flatnonzero((cost > cost[rows[0]]).all(axis=1))
    if not len(longer):
        raise Skipped("all examples cost the same number of tokens")
    alone, padded = (_row(asked(np.array(taken)), 0) for taken in ([rows[0], rows[1]], [rows[0], longer[0]]))
    if not _same(asked, alone, padded):
        raise Nonconformance(
            f"an example's vectors differ by {difference(alone, padded):.3g} with a longer example beside it. "
            "Mask padding everywhere: in attention, means, maxima and last states."
        )


def check_permutation_equivariance(subject: Subject) -> None:
    """Examples in another order get the same vectors, in that order."""
    asked = _steady(subject)
    rows = np.arange(ROWS)
    order = seeds.rng(0, "kit", "order").permutation(ROWS)
    plain = asked(rows)
    left, right = {name: values[order] for name, values in plain.items()}, asked(rows[order])
    if not _same(asked, left, right):
        raise Nonconformance(
            f"examples in another order get vectors that differ by {difference(left, right):.3g}. Let no "
            "vector depend on an example's place in the batch."
        )


def check_corpus_independence(subject: Subject) -> None:
    """An example's vectors do not depend on what else is in the corpus it is read from: one pair scores as all do."""
    asked = _steady(subject)
    whole, rows = asked, np.arange(ROWS)
    examples = asked.examples.take(rows)
    frames, numbers = [], []
    for frame, used in ((asked.corpus.queries, examples.query), (asked.corpus.products, examples.product)):
        kept, number = np.unique(used, return_inverse=True)
        there = kept >= 0  # embed has no query side: its rows are -1
        frames.append(frame[kept[there]])
        numbers.append(number if there.all() else np.full(len(used), -1))
    few = Asked.of(
        subject,
        subject.made,
        Corpus(*frames),
        Examples(numbers[0], numbers[1], examples.label, examples.weight),
    )
    # One product a thousand times over makes its words the commonest.
    first = asked.corpus.products[[int(examples.product[0])] * 1000]
    crowd = Corpus(asked.corpus.queries, pl.concat([asked.corpus.products, first]))
    crowded = Asked.of(subject, subject.made, crowd, examples)
    for other, size in ((few, "smaller"), (crowded, "larger")):
        left, right = whole(rows), other(rows)
        if not _same(asked, left, right):
            raise Nonconformance(
                f"examples read from a {size} corpus get vectors that differ by {difference(left, right):.3g}. "
                "Learn statistics in `build` or `fit`, save them, and take none in `prepare` or `predict`."
            )


def check_one_side_alone(subject: Subject) -> None:
    """An encoder that gives embeddings encodes each side alone to the vectors it has beside the other."""
    asked = _steady(subject)
    if "embeddings" not in subject.part.gives:
        raise Skipped("the encoder gives no embeddings")
    if len(asked.sides) < 2:
        raise Skipped("the examples of its task have one side")
    rows = np.arange(ROWS)
    both = asked(rows)
    for side in asked.sides:
        alone = asked(rows, (side,))
        if not _same(asked, {side: both.get(side, np.empty(0))}, {side: alone.get(side, np.empty(0))}):
            raise Nonconformance(
                f"the {side} side alone gets other vectors than beside the other side. Encode each side by "
                "itself, and leave out the one whose rows are None."
            )


def check_many_rows_at_once_is_the_same(subject: Subject) -> None:
    """Where an encoder has a cheaper way to the vectors of many rows, it leads to the vectors that batches give."""
    asked = _steady(subject)
    made = asked.made
    if not isinstance(made, Encoder) or "embeddings" not in subject.part.gives:
        raise Skipped("the encoder gives no embeddings")
    assert asked.prepared is not None
    there = 0
    for side in asked.sides:
        rows = np.arange(getattr(asked.corpus, "queries" if side == "query" else "products").height)
        with unchanged_mode(made, training=False), torch.inference_mode():
            found = made.encode_rows(asked.prepared, side, rows)
            if found is None:
                continue
            batch = asked.prepared.batch(*((rows, None) if side == "query" else (None, rows)))
            expected = {side: getattr(made(batch), side).float().numpy()}
        there += 1
        if not _same(asked, {side: found.float().numpy()}, expected):
            raise Nonconformance(
                f"many rows of the {side} side at once get vectors that differ from those of batches. Return the same "
                "from `encode_rows`, or None."
            )
    if not there:
        raise Skipped("the encoder knows no way but batches")


def check_finite_gradients(subject: Subject) -> None:
    """In training, a loss over the vectors has finite gradients, and reaches at least one weight."""
    made = subject.made
    if not isinstance(made, Encoder):
        raise Skipped("a part that fits itself has no gradients")
    asked = Asked.of(subject, made)
    with unchanged_mode(made, training=True), seeds.torch_seed(0, "kit", "gradients"):
        encoding = made(asked.batch(np.arange(ROWS)))
        given = (encoding.pair, encoding.query, encoding.product, encoding.logits)
        vectors = [v for v in given if v is not None]
        made.zero_grad()
        # Weighed differently, so that what normalises vectors does not cancel the gradient.
        sum((v.float() * torch.linspace(-1, 1, v.shape[1])).pow(2).sum() for v in vectors).backward()
        gradients = {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}
        made.zero_grad(set_to_none=True)
    if broken := [name for name, gradient in gradients.items() if not torch.isfinite(gradient).all()]:
        raise Nonconformance(
            f"the gradient of {broken[0]} is not finite. Look for a square root, norm, logarithm or division at 0."
        )
    if any(p.requires_grad for p in made.parameters()) and not any(
        g.abs().sum() > 0 for g in gradients.values()
    ):
        raise Nonconformance("no weight has a gradient. Do not detach the vectors from what made them.")


def check_saved_and_loaded_is_the_same(subject: Subject) -> None:
    """Saved and loaded, the part answers the same; no saved file could run code when it is read."""
    saved_and_loaded(subject)


def _same(asked: Asked, left: Answer, right: Answer) -> bool:
    """Return whether answers differ by rounding alone: of float32, or of float64 where a part fits itself."""
    return near(left, right, 1e-4 if isinstance(asked.made, Encoder) else 1e-9)


def _unsteady(asked: Asked) -> float:
    return difference(asked(np.arange(ROWS)), asked(np.arange(ROWS)))


def _steady(subject: Subject) -> Asked:
    """Return the encoder with its probe, if asking twice gives one answer."""
    asked = Asked.of(subject, subject.made)
    if _unsteady(asked):
        raise Skipped("the encoder breaks eval_mode_is_deterministic, so that its answers cannot be compared")
    return asked


def _of_one_length(asked: Asked) -> np.ndarray:
    """Return the rows of the most examples that cost the same, and not the most; all, where nothing is padded."""
    rows = np.arange(len(asked.examples))
    if not isinstance(asked.made, Encoder):
        return rows
    cost = asked.cost(rows)
    kinds, number, counts = np.unique(cost, axis=0, return_inverse=True, return_counts=True)
    shorter = (kinds < cost.max(axis=0)).all(axis=1)
    counts = np.where(shorter | ~shorter.any(), counts, 0)
    return rows[number.ravel() == counts.argmax()]


def _row(answer: Answer, row: int) -> Answer:
    return {name: values[row] for name, values in answer.items()}
