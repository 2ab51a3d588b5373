"""The fields of encoders that read tokens one by one. Importing this loads nothing heavy."""

from __future__ import annotations

import attrs

from prodmatch_core.fields import at_least, one_of, product_fields


@attrs.frozen
class TokenFields:
    """What an encoder of tokens reads, and where its tokens' vectors come from."""

    fields: tuple[str, ...] = attrs.field(default=("title",), validator=product_fields)
    "Product texts that are read, in this order."
    vocabulary: int = attrs.field(default=8000, validator=at_least(300))
    "Largest number of tokens; frequent words are one token, rare ones several."
    width: int = attrs.field(default=64, validator=at_least(4))
    "Size of a token's vector."
    max_length: int = attrs.field(default=32, validator=at_least(2))
    "Tokens read of a text, from its beginning."
    vectors: str = attrs.field(default="catalogue", validator=one_of("catalogue", "random"))
    """Where the vectors begin: `catalogue` takes them from which tokens stand near each other in titles and training
    queries, `random` knows nothing."""
