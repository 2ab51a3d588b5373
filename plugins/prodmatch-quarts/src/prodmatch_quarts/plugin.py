"""Registers the encoder, the generators, the controls and the report's sections. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import attrs

from prodmatch_core import hookimpl
from prodmatch_core.fields import at_least, below_one, non_negative, one_of, positive, unit_interval
from prodmatch_core.records import EncoderSpec, NegativeGeneratorSpec, Section
from prodmatch_core.tokens.fields import TokenFields

if TYPE_CHECKING:
    from prodmatch_core.rundir import Run

PAPER = "arXiv 2005.03624"


@attrs.frozen
class AttentionConfig(TokenFields):
    """`quarts.attention`: an LSTM a side, and each query token's attention over the product's tokens."""

    hidden: int = attrs.field(default=64, validator=at_least(4))
    "Units of the LSTMs, and size of the pair vector."
    attention: str = attrs.field(default="softmax", validator=one_of("softmax", "tanh"))
    "How scores become weights: a softmax over the product's tokens, or tanh of each score as the paper writes it."
    conditional: bool = True
    "Read the query from the product's last state on, as the paper's figures draw it."
    flags: bool = True
    "Tell each token whether the other side has it too."
    dropout: float = attrs.field(default=0.1, validator=below_one)
    "Share of units dropped in training, of tokens' vectors and of the pair vector."


@attrs.frozen
class VariationalConfig:
    """`quarts.variational`: writes queries near the true one that do not match, and puts them in its place."""

    rate: float = attrs.field(default=0.25, validator=unit_interval)
    "Share of matching examples whose query is overwritten, drawn anew every time (p). 0 is the classifier alone."
    after: int = attrs.field(default=1, validator=at_least(0))
    "Epochs the classifier trains alone before the generator is trained and used."
    learns: str = attrs.field(default="frozen", validator=one_of("frozen", "joint", "adversarial"))
    """What the generator does once it is trained: `frozen` stays as it is, `joint` descends on the classifier's loss
    like all other weights, `adversarial` ascends on it every other step."""
    states: str = attrs.field(default="decoder", validator=one_of("decoder", "reread"))
    """What stands in the query states' place: the `decoder`'s own, as in the paper, or what the encoder makes of the
    words it wrote (`reread`), which cannot be told from read queries by their make."""
    feed: str = attrs.field(default="drawn", validator=one_of("drawn", "greedy", "soft", "gumbel"))
    """What the decoder is fed with, and what is reread: a token drawn by its probability, or its best one, both
    without a gradient; the mean of all tokens by their probability; or a drawn token with the gradient of the mean
    (straight-through Gumbel-softmax). Where tuples are few, the best tokens are those of the true query."""
    temperature: float = attrs.field(default=0.5, validator=positive)
    "How freely tokens are drawn: 1 by their probability, less keeps to the likelier ones (`drawn` and `gumbel`)."
    novel: bool = False
    """Leave a row alone where every token of the query written for it is in the true query: such queries mostly
    match. Only where the encoder tells which tokens it read."""
    latent: int = attrs.field(default=100, validator=at_least(1))
    "Size of the latent vector."
    hidden: int = attrs.field(default=64, validator=at_least(4))
    "Units of the decoder."
    vocabulary: int = attrs.field(default=8000, validator=at_least(300))
    "Largest number of tokens the generator writes with, where the encoder has no tokens of its own."
    longest: int = attrs.field(default=12, validator=at_least(1))
    "Most tokens of a query it writes."
    tuples: int = attrs.field(default=2000, validator=at_least(1))
    """Tuples of item, matching and mismatching query it wants to learn from. Where the judgements hold fewer,
    mismatching queries are taken from near the matching one."""
    epochs: int = attrs.field(default=10, validator=at_least(1))
    "Passes over the tuples before it is used."
    learning_rate: float = attrs.field(default=1e-3, validator=positive)
    "Step size of Adam in those passes."
    kl: float = attrs.field(default=0.05, validator=non_negative)
    "What the KL divergence of the latent counts at the end; it grows from 0 as a tanh does."
    word_dropout: float = attrs.field(default=0.25, validator=below_one)
    "Share of the decoder's input tokens hidden while it learns, so that it needs the latent."
    align: float = attrs.field(default=1.0, validator=non_negative)
    "What the distance of decoder states from read states of the same query counts while it learns; 0 as in the paper."
    anchor: float | None = attrs.field(default=None, validator=attrs.validators.optional(non_negative))
    """What its own reconstruction and KL count while it learns with the classifier, so that its queries stay near real
    ones. Left out: 1 for `adversarial`, 0 for `joint`."""
    written: int = attrs.field(default=2000, validator=at_least(1))
    "Most training matches for which a query is written to the run directory."


@attrs.frozen
class NoiseConfig:
    """`quarts.noise`: Gaussian noise on the states of some matching queries."""

    rate: float = attrs.field(default=0.25, validator=unit_interval)
    "Share of matching examples that are overwritten."
    scale: float = attrs.field(default=1.0, validator=positive)
    "Standard deviation of the noise, in standard deviations of the batch's query states."


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the classifier's encoder."""
    yield EncoderSpec(
        name="quarts.attention",
        summary="An LSTM a side, and attention of each query token over the product's tokens.",
        config=AttentionConfig,
        factory="prodmatch_quarts.attention:AttentionEncoder",
        example={"vocabulary": 400, "width": 16, "hidden": 16},
        needs={"pair_texts"},
        gives={"tokens", "pairs"},
        paper=f"{PAPER}, section 3.1; attention word by word: arXiv 1509.06664, section 2.4",
    )


@hookimpl
def prodmatch_negative_generators() -> Iterator[NegativeGeneratorSpec]:
    """Return the generator and its control."""
    small = {"latent": 8, "hidden": 16, "vocabulary": 400, "tuples": 40, "epochs": 1, "written": 20}
    yield NegativeGeneratorSpec(
        name="quarts.variational",
        summary="Writes hard mismatching queries inside the classifier, by a variational encoder-decoder.",
        config=VariationalConfig,
        factory="prodmatch_quarts.variational:VariationalGenerator",
        example={**small, "after": 0},
        needs={"tokens", "judgements", "class_labels"},
        paper=f"{PAPER}, sections 3.2 and 3.3",
    )
    yield NegativeGeneratorSpec(
        name="quarts.noise",
        summary="Gaussian noise on the states of some matching queries: the control of a generator.",
        config=NoiseConfig,
        factory="prodmatch_quarts.noise:NoiseGenerator",
        needs={"tokens", "class_labels"},
    )


@hookimpl
def prodmatch_report_sections(run: Run) -> Iterable[Section]:
    """Return the sections on attention and on generated queries, for runs that have them."""
    if run.task.answer != "classes":
        return []
    from prodmatch_quarts.section import sections

    return sections(run)
