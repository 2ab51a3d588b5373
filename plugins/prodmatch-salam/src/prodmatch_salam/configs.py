"""The fields of the parts. Importing this loads nothing heavy."""

from __future__ import annotations

import attrs

from prodmatch_core.fields import at_least, below_one, list_of, one_of, part
from prodmatch_core.records import Part

OWN_MODEL = "core.transformer"
"Text views whose language model can make the nodes' features."


@attrs.frozen
class FusionConfig:
    """`salam.fusion`: a text view and two node views of a pair, fused by attention over those that are there."""

    text: Part = part("encoder")
    "Reads the pair's texts: a part that gives pairs or embeddings."
    graph: Part = part("encoder")
    "The network over the graph: a part that gives nodes."
    features: Part | None = part("encoder", default=None)
    """Makes the nodes' features of their texts, once, as it is when built: a part that gives embeddings. Left out: the
    text view's language model, before training, its states averaged."""
    edges: str = attrs.field(default="auto", validator=one_of("auto", "engagements", "proxy", "none"))
    """What the graph is made of: engagements; training judgements, without their labels (`proxy`); or nothing. `auto`
    takes engagements where the data has some, else the proxy."""
    relations: tuple[str, ...] = ()
    "Relations of the engagements that are read; empty: all."
    setting: str = attrs.field(default="transductive", validator=one_of("transductive", "inductive"))
    """`inductive` leaves queries out of the graph that are not in the training split, so that a test query is one the
    shop has never seen; `transductive` knows what shoppers did after every query."""
    views: tuple[str, ...] = attrs.field(default=("text", "graph"), validator=list_of("text", "graph"))
    "Views that are read; to leave one out says what it is worth."
    compare: bool = True
    "Whether there is a further view, of how the two nodes' vectors compare, where both nodes are there."
    strengths: bool = True
    """Whether a node's view says how much of each relation the node has, the pair's own edges left out: a mean over
    neighbours does not tell."""
    width: int = attrs.field(default=128, validator=at_least(8))
    "Size of the views where they meet; a multiple of `heads`."
    heads: int = attrs.field(default=4, validator=at_least(1))
    "Attention heads."
    dropout: float = attrs.field(default=0.1, validator=below_one)
    "Share of units dropped in training."
    node_width: int = attrs.field(default=64, validator=at_least(2))
    "Size of the nodes' first vectors."
    links: int = attrs.field(default=1, validator=at_least(0))
    """How many edges of its query, and how many random products, `salam.link` asks about beside each pair in training;
    0: the encoder gives no links."""
    store: str = ""
    """Folder that keeps node features from run to run, by model and text, mapped into memory; empty: each run computes
    its own."""

    def __attrs_post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got {self.width} and {self.heads}")
        if not self.views:
            raise ValueError("views needs text, graph or both")
        if not self.text.gives & {"pairs", "embeddings"}:
            raise ValueError(
                f"text: {self.text.name} gives neither pairs nor embeddings; name a text encoder"
            )
        if self.features is None and self.text.name != OWN_MODEL:
            raise ValueError(
                f"features: {self.text.name} has no language model to make node features with; name an encoder that "
                'gives embeddings, for example { use = "core.ngram", mode = "two_tower" }'
            )
        if self.features is not None and "embeddings" not in self.features.gives:
            raise ValueError(
                f"features: {self.features.name} gives no embeddings; set its mode, or name another"
            )
