"""Tokens back to text: which neighbours belong to one word is read off real queries."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Self

import attrs
from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@attrs.frozen(eq=False)
class Spelling:
    """Puts tokens together as texts do: "dis hwasher" is "dishwasher" where texts write it so."""

    tokenizer: Tokenizer
    joined: Counter[tuple[int, int]]
    "Neighbours within words, less neighbours across words."

    @classmethod
    def of(cls, texts: Sequence[str], tokenizer: Tokenizer) -> Self:
        """Count the neighbours in `texts`."""
        joined: Counter[tuple[int, int]] = Counter()
        for found in tokenizer.encode_batch(list(texts), add_special_tokens=False):
            ends = zip(found.ids, found.ids[1:], found.offsets, found.offsets[1:], strict=False)
            for left, right, (_, end), (start, _) in ends:
                joined[left, right] += 1 if start <= end else -1
        return cls(tokenizer, joined)

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; single bytes are put together to characters."""
        parts: list[str] = []
        for place, number in enumerate(ids):
            token = self.tokenizer.id_to_token(number) or ""
            byte = _BYTE.fullmatch(token)
            before = ids[place - 1] if place else None
            apart = before is not None and self.joined[before, number] <= 0 and not byte
            # bytes as characters of one byte, decoded below
            written = chr(int(byte[1], 16)) if byte else token.encode("utf-8").decode("latin-1")
            parts.append(f" {written}" if apart else written)
        return "".join(parts).encode("latin-1").decode("utf-8", errors="replace")
