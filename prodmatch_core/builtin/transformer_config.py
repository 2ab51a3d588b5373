"""The fields of `core.transformer`. Importing this loads neither torch nor transformers."""

from __future__ import annotations

import attrs

from prodmatch_core.fields import at_least, below_one, between, one_of, product_fields


@attrs.frozen
class TransformerConfig:
    """A transformer over query and product: read together (`cross_encoder`) or each alone (`two_tower`)."""

    model: str = ""
    """A folder or hub name of a Hugging Face encoder with safetensors weights. Empty: a small model with the sizes
    below and a tokenizer trained on the catalogue, both made on the spot; nothing is downloaded."""
    mode: str = attrs.field(default="cross_encoder", validator=one_of("cross_encoder", "two_tower"))
    "`cross_encoder` gives one vector per pair; `two_tower` one vector per query and one per product."
    fields: tuple[str, ...] = attrs.field(default=("title",), validator=product_fields)
    "Product columns the model reads, in this order."
    max_length: int = attrs.field(default=128, validator=at_least(8))
    "Longest input in tokens, special tokens included: of a pair, or of each text in `two_tower`."
    query_share: float = attrs.field(default=0.5, validator=between(0.1, 0.9))
    "The part of a full input the query keeps when a pair is too long; up to it, only the product is cut."
    pooling: str = attrs.field(default="mean", validator=one_of("cls", "mean"))
    "A text's vector: the state of its first token, or the mean over all its tokens."
    overlap_flags: bool | None = None
    """Tell the model of each token whether the other side has it too (`cross_encoder` only). Left out: on when
    `model` is empty, where it stands in for what a pre-trained model knows."""
    hidden: int = attrs.field(default=128, validator=at_least(8))
    "Width of the small model; a multiple of `heads`."
    layers: int = attrs.field(default=2, validator=at_least(1))
    "Layers of the small model."
    heads: int = attrs.field(default=4, validator=at_least(1))
    "Attention heads a layer of the small model."
    vocabulary: int = attrs.field(default=8000, validator=at_least(300))
    "Largest number of tokens of the small model's tokenizer."
    dropout: float = attrs.field(default=0.1, validator=below_one)
    "Share of units dropped while the small model trains."
    pretrain_epochs: int = attrs.field(default=0, validator=at_least(0))
    """Passes of masked language modelling over the catalogue and the training queries before training. Ten raised
    macro-F1 on CrowdFlower by about 0.03 and took several times as long as the training itself."""

    def __attrs_post_init__(self) -> None:
        if self.overlap_flags and self.mode == "two_tower":
            raise ValueError('overlap_flags needs mode = "cross_encoder": a tower sees one side only')
        if self.hidden % self.heads:
            raise ValueError(f"hidden must be a multiple of heads, got {self.hidden} and {self.heads}")
        if self.model and self.pretrain_epochs:
            raise ValueError("pretrain_epochs is for the small model; remove it, or leave model empty")

    @property
    def flags(self) -> bool:
        """Return whether the model sees overlap flags, with the default filled in."""
        if self.overlap_flags is not None:
            return self.overlap_flags
        return not self.model and self.mode == "cross_encoder"
