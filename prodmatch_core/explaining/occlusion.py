"""Occlusion: which words carry a decision, told by taking each of them away.

Zeiler and Fergus (arXiv 1311.2901, section 4.2) cover part of a picture and watch the probability of the class; Li,
Monroe and Jurafsky (arXiv 1612.08220, section 2) erase a word. It asks nothing of a member but predictions. What it
cannot show is two words that each suffice: taking one away changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs
import numpy as np
import polars as pl

from prodmatch_core.explaining.trace import Trace
from prodmatch_core.explaining.words import Word, without, words_of
from prodmatch_core.fields import PRODUCT_FIELDS

FIELDS = ("query", *PRODUCT_FIELDS)
"Columns whose words are taken away."
STAND_IN = "-"
"Put in place of the only word of a query or title, because a pair needs both texts."
MOST_WORDS = 300
"Words of a pair that are taken away; of longer texts, the first."
CHUNK = 2_048
"Variants predicted at once; bounds the memory their texts take."


@attrs.frozen
class Variant:
    """A pair without one word: the row of the pair, the text's field and the word."""

    row: int
    field: str
    word: Word


@attrs.frozen(eq=False)
class Occlusion:
    """What became of pairs without each of their words.

    Attributes:
        variants: the words taken away, by pair, field and place.
        before: the trace of the pairs as they are.
        probability: (variants,) float64, of the label that was decided on the whole pair.
        members: (members, variants) float64, the same of each member.
        score: (variants,) float64, P(match).
        labels: (variants,) int64, what is decided without the word.
        accepted: (variants,) bool.
        left_out: rows whose texts hold more than MOST_WORDS words, and how many were left alone.
    """

    variants: Sequence[Variant]
    before: Trace
    probability: np.ndarray
    members: np.ndarray
    score: np.ndarray
    labels: np.ndarray
    accepted: np.ndarray
    left_out: dict[int, int]

    @property
    def rows(self) -> np.ndarray:
        """Return the pair of each variant, (variants,) int64."""
        return np.array([variant.row for variant in self.variants], dtype=np.int64)

    @property
    def effect(self) -> np.ndarray:
        """Return what each word adds to the probability of the decided label, (variants,) float64: with - without."""
        final, rows = self.before.final, self.rows
        return final.probabilities[rows, final.labels[rows]] - self.probability

    @property
    def member_effect(self) -> np.ndarray:
        """Return what each word adds to each member's probability of that label, (members, variants) float64."""
        rows = self.rows
        labels = self.before.final.labels[rows]
        return np.stack([table[rows, labels] for table in self.before.members]) - self.members

    @property
    def changes(self) -> np.ndarray:
        """Return whether the decision is another without the word, label or acceptance, (variants,) bool."""
        final, rows = self.before.final, self.rows
        return (self.labels != final.labels[rows]) | (self.accepted != final.accepted[rows])


def occlude(
    follow: Callable[[pl.DataFrame], Trace],
    frame: pl.DataFrame,
    score: Callable[[np.ndarray], np.ndarray],
    told: Callable[[int, int], None] = lambda done, total: None,
    most: int = MOST_WORDS,
) -> Occlusion:
    """Take every word of every pair away, one at a time, and predict what is left.

    Args:
        follow: the pipeline's steps, as `Traced.follow`.
        frame: pairs as `Pipeline.predict` takes them.
        score: P(match) of class probabilities.
        told: hears how many variants are predicted, and of how many.
        most: words of a pair that are taken away.
    """
    before = follow(frame)
    variants, left_out = _variants(frame, most)
    probability, accepted = np.empty(len(variants)), np.empty(len(variants), dtype=bool)
    members = np.empty((len(before.members), len(variants)))
    scores, labels = np.empty(len(variants)), np.empty(len(variants), dtype=np.int64)
    for start in range(0, len(variants), CHUNK):
        part = slice(start, min(start + CHUNK, len(variants)))
        after = follow(_changed(frame, variants[part]))
        rows = np.arange(part.stop - part.start)
        decided = before.final.labels[[variant.row for variant in variants[part]]]
        probability[part] = after.final.probabilities[rows, decided]
        members[:, part] = [table[rows, decided] for table in after.members]
        scores[part] = score(after.final.probabilities)
        labels[part], accepted[part] = after.final.labels, after.final.accepted
        told(part.stop, len(variants))
    return Occlusion(variants, before, probability, members, scores, labels, accepted, left_out)


def _variants(frame: pl.DataFrame, most: int) -> tuple[list[Variant], dict[int, int]]:
    fields = [field for field in FIELDS if field in frame.columns]
    variants: list[Variant] = []
    left_out: dict[int, int] = {}
    for row, texts in enumerate(frame.select(fields).iter_rows()):
        found = [
            Variant(row, field, word)
            for field, text in zip(fields, texts, strict=True)
            for word in words_of(text or "")
        ]
        variants += found[:most]
        if len(found) > most:
            left_out[row] = len(found) - most
    return variants, left_out


def _changed(frame: pl.DataFrame, variants: Sequence[Variant]) -> pl.DataFrame:
    """Return one row per variant: its pair with the word taken out of its text."""
    changed = frame[[variant.row for variant in variants]]
    texts = {field: changed[field].to_list() for field in {variant.field for variant in variants}}
    for place, (field, text) in enumerate(_texts(variants, texts)):
        texts[field][place] = text
    return changed.with_columns(pl.Series(name, values, dtype=pl.String) for name, values in texts.items())


def _texts(variants: Sequence[Variant], texts: dict[str, list[str]]) -> Iterator[tuple[str, str | None]]:
    for place, variant in enumerate(variants):
        left = without(texts[variant.field][place], variant.word)
        yield variant.field, left or (STAND_IN if variant.field in ("query", "title") else None)
