"""The fields of the parts. Importing this loads nothing heavy."""

from __future__ import annotations

import attrs

from prodmatch_core.fields import (
    at_least,
    below_one,
    non_negative,
    not_empty,
    one_of,
    positive,
    unit_interval,
)
from prodmatch_core.tokens.fields import TokenFields


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
    learns: str = attrs.field(default="frozen", validator=one_of("frozen", "tuples", "joint", "adversarial"))
    """What the generator does once it is trained: `frozen` stays as it is, `tuples` goes on learning from its tuples
    and so keeps up with an encoder that moves, `joint` descends on the classifier's loss like all other weights,
    `adversarial` ascends on it every other step."""
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
    tuples: int = attrs.field(default=6000, validator=at_least(1))
    """Tuples of item, matching and mismatching query it wants to learn from. Where the judgements hold fewer,
    mismatching queries are taken from near the matching one. From few it learns to repeat the true query."""
    epochs: int = attrs.field(default=10, validator=at_least(1))
    "Passes over the tuples before it is used."
    learning_rate: float = attrs.field(default=0.006, validator=positive)
    "Step size of Adam in those passes; with the paper's 0.001 it needs some six times as many."
    kl: float = attrs.field(default=0.01, validator=non_negative)
    "What the KL divergence of the latent counts at the end; it grows from 0 as a tanh does."
    word_dropout: float = attrs.field(default=0.25, validator=below_one)
    "Share of the decoder's input tokens hidden while it learns, so that it needs the latent."
    align: float = attrs.field(default=1.0, validator=non_negative)
    "What the distance of decoder states from read states of the same query counts while it learns; 0 as in the paper."
    anchor: float | None = attrs.field(default=None, validator=attrs.validators.optional(non_negative))
    """What its own reconstruction and KL count while the classifier trains, so that its queries stay near real ones.
    Left out: 1 for `tuples` and `adversarial`, 0 for `joint`; `frozen` learns nothing."""
    written: int = attrs.field(default=2000, validator=at_least(1))
    "Most training matches for which a query is written to the run directory."


@attrs.frozen
class NoiseConfig:
    """`quarts.noise`: Gaussian noise on the states of some matching queries."""

    rate: float = attrs.field(default=0.25, validator=unit_interval)
    "Share of matching examples that are overwritten."
    scale: float = attrs.field(default=1.0, validator=positive)
    "Standard deviation of the noise, in standard deviations of the batch's query states."


@attrs.frozen
class AugmentedConfig:
    """`quarts.augmented`: a data set with generated queries as further training pairs."""

    path: str = attrs.field(validator=not_empty)
    "Folder that prodmatch wrote (`prodmatch data make`), under the data folder or beside the pipeline file."
    generated: str = attrs.field(validator=not_empty)
    "The `generated.parquet` of a run on that data, looked for in the same places."
    novel: bool = True
    "Add only queries with a token that the true query has not; the others mostly match."
