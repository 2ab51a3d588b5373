"""What a negative generator must do: of rows (`RowGenerator`) or of token states (`StateGenerator`)."""

from __future__ import annotations

import attrs
import numpy as np
import torch

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.negatives import KnownPairs, Mixed, RowGenerator
from prodmatch_core.data.corpus import Examples
from prodmatch_core.testing.answers import difference
from prodmatch_core.testing.benches.negatives import (
    answer_of,
    batch,
    encoded,
    here,
    mixed,
    of_rows,
    refreshed,
)
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.subject import Subject
from prodmatch_core.training import seeds

DRAWS = 40
"Batches that rates are counted over."


def check_never_a_known_pair(subject: Subject) -> None:
    """No pair that is labelled, in training or validation and whatever its label, is returned as a negative."""
    made = _of_rows(subject)
    data = here().fit
    known = KnownPairs(data.train.concat(data.valid), data.corpus.products.height)
    for found in _draws(made):
        if len(told := np.flatnonzero(known.known(found.query, found.product))):
            row = told[0]
            raise Nonconformance(
                f"query {found.query[row]} and product {found.product[row]} are labelled and come back as a "
                "negative. Look pairs up in KnownPairs of both splits before you return them."
            )


def check_rows_are_of_the_batch_and_corpus(subject: Subject) -> None:
    """Negatives are made for queries of the batch, with products of the corpus."""
    made = _of_rows(subject)
    given, products = batch(), here().fit.corpus.products.height
    for found in _draws(made):
        if not np.isin(found.query, given.query).all():
            raise Nonconformance(
                "a negative is for a query that the batch does not hold. Take the batch's queries."
            )
        if len(found) and (found.product.min() < 0 or found.product.max() >= products):
            raise Nonconformance(
                f"a negative's product is no row of the corpus, which has {products}. Return rows of the corpus."
            )


def check_labels_are_the_worst(subject: Subject) -> None:
    """Every negative has the scheme's worst label; overwritten states no longer match, all others keep their label."""
    worst = len(here().fit.scheme.labels) - 1
    if isinstance(subject.made, RowGenerator):
        for found in _draws(subject.made):
            if (found.label != worst).any():
                raise Nonconformance(
                    f"a negative has the label {found.label[found.label != worst][0]}, not the worst one, "
                    f"{worst}. Label negatives with the last class of the scheme."
                )
        return
    for result, labels in _mixes(subject):
        positive = torch.from_numpy(positive_classes(here().fit.scheme))
        wrong = torch.isin(result.labels, positive) & result.switched
        if wrong.any() or (result.labels != labels)[~result.switched].any():
            raise Nonconformance(
                "an overwritten row still has a matching label, or a row that was left alone has another than "
                "before. Change the labels of the overwritten rows, and of no other."
            )


def check_only_matches_are_overwritten(subject: Subject) -> None:
    """A generator of states overwrites some matching rows on one side, and leaves all other states as they are."""
    if isinstance(subject.made, RowGenerator):
        raise Skipped("the generator adds rows and overwrites none")
    before, _ = encoded()
    for result, labels in _mixes(subject):
        positive = torch.from_numpy(positive_classes(here().fit.scheme))
        if (result.switched & ~torch.isin(labels, positive)).any():
            raise Nonconformance("a row that does not match was overwritten. Overwrite matching rows only.")
        for side in ("query", "product"):
            old, new = getattr(before, f"{side}_states"), getattr(result.encoding, f"{side}_states")
            kept = ~result.switched
            longest = min(old.mask.shape[1], new.mask.shape[1])
            same = torch.equal(old.hidden[kept, :longest], new.hidden[kept, :longest])
            if not same or not torch.equal(old.mask[kept].sum(dim=1), new.mask[kept].sum(dim=1)):
                raise Nonconformance(
                    f"the {side} states of a row that is not switched have changed. Copy them, and their mask, "
                    "as they are."
                )


def check_rate_is_respected(subject: Subject) -> None:
    """On average there are as many negatives as `per_positive` says a match, and never more than that, rounded up.

    For a generator of states, `rate` is the share of matching rows that are overwritten.
    """
    field = "per_positive" if isinstance(subject.made, RowGenerator) else "rate"
    rate = getattr(subject.config, field, None)
    if rate is None:
        raise Skipped(f"the configuration has no field {field}")
    positive = positive_classes(here().fit.scheme)
    if isinstance(subject.made, RowGenerator):
        matches = int(np.isin(batch().label, positive).sum())
        counts = np.array([len(found) for found in _draws(subject.made)])
        most = int(np.ceil(rate)) * matches
    else:
        matches = int(np.isin(encoded()[1].numpy(), positive).sum())
        counts = np.array([int(result.switched.sum()) for result, _ in _mixes(subject)])
        most = matches
    mean, expected = counts.mean() / matches, float(rate)
    # Binomial at the most: four standard errors of the mean over the draws, and what a small corpus lacks.
    slack = 4 * 0.5 / np.sqrt(DRAWS * matches) + 0.1 * expected
    if counts.max() > most or abs(mean - expected) > slack:
        raise Nonconformance(
            f"{field} is {expected:g}, and there are {mean:.3g} negatives a match on average, {counts.max()} "
            f"at the most for {matches} matches. Draw as many as {field} says."
        )


def check_weights_follow_the_batch(subject: Subject) -> None:
    """A negative's weight is finite, not negative, and grows with the weight of its example; weight 0 stays 0."""
    made = _of_rows(subject)
    given = batch()
    rng = [seeds.rng(5, "kit", "weights") for _ in range(3)]
    plain = made.propose(given, rng[0])
    if not np.isfinite(plain.weight).all() or (plain.weight < 0).any():
        raise Nonconformance(
            "a negative's weight is negative or not finite. Derive it from its example's weight."
        )
    for factor, source in ((2.0, rng[1]), (0.0, rng[2])):
        scaled = made.propose(attrs.evolve(given, weight=given.weight * factor), source)
        if len(scaled) != len(plain) or not np.allclose(scaled.weight, plain.weight * factor):
            raise Nonconformance(
                f"the batch's weights times {factor:g} do not make the negatives' weights times {factor:g}. "
                "Give a negative the weight of its example, times a factor."
            )


def check_batch_is_not_written_to(subject: Subject) -> None:
    """The batch given is as it was afterwards."""
    if isinstance(subject.made, RowGenerator):
        given = batch()
        before = {name: values.copy() for name, values in answer_of(given).items()}
        subject.made.propose(given, seeds.rng(0, "kit"))
        changed = difference(before, answer_of(given)) > 0
    else:
        encoding, labels = encoded()
        old = encoding.query_states, encoding.product_states, labels.clone()
        copies = [(states.hidden.clone(), states.mask.clone()) for states in old[:2] if states is not None]
        subject.made.mix(encoding, labels, seeds.rng(0, "kit"))
        now = [(states.hidden, states.mask) for states in old[:2] if states is not None]
        changed = not torch.equal(labels, old[2]) or not all(
            torch.equal(a, b)
            for left, right in zip(copies, now, strict=True)
            for a, b in zip(left, right, strict=True)
        )
    if changed:
        raise Nonconformance("the generator writes to the batch it is given. Return new arrays.")


def check_resumes_from_its_state(subject: Subject) -> None:
    """A new generator that takes back what another's `state` was after an epoch goes on as the other does."""
    _of_rows(subject)
    first, second = of_rows(subject), of_rows(subject)
    refreshed(first, 0)
    second.restore({name: values.copy() for name, values in first.state().items()})
    left, right = (
        answer_of(refreshed(made, 1).propose(batch(), seeds.rng(1, "kit", "resume")))
        for made in (first, second)
    )
    if difference(left, right):
        raise Nonconformance(
            "a generator restored from `state` proposes other rows. Put whatever `refresh` cannot find again "
            "into `state`."
        )


def _of_rows(subject: Subject) -> RowGenerator:
    if not isinstance(subject.made, RowGenerator):
        raise Skipped("the generator overwrites states and adds no rows")
    return subject.made


def _draws(made: RowGenerator) -> list[Examples]:
    return [made.propose(batch(), seeds.rng(number, "kit", "draw")) for number in range(DRAWS)]


def _mixes(subject: Subject) -> list[tuple[Mixed, torch.Tensor]]:
    labels = encoded()[1]
    return [(mixed(subject.made, number), labels) for number in range(DRAWS)]
