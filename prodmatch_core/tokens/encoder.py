"""`TokenEncoder`: what two-sided encoders share that read with a table of tokens learnt from the catalogue."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np

from prodmatch_core.components.encoder import FitData, Prepared, TwoSidedEncoder
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.tokens.table import TokenTable


class TokenEncoder(TwoSidedEncoder):
    """A batch holds `query_ids`, `product_ids` (batch, length) int64 and their `*_mask` bool."""

    tokens: TokenTable
    "The tokens it reads, with their vectors."

    @abstractmethod
    def __init__(self, config: Any, tokens: TokenTable) -> None:
        """Make an encoder with random weights around a table of tokens; `config` has the fields of `TokenFields`."""
        super().__init__()

    @classmethod
    def build(cls, config: Any, data: FitData, rng: np.random.Generator) -> Self:
        """Make an encoder whose tokens are learnt from the catalogue."""
        return cls(config, TokenTable.build(config, data, rng))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Make an encoder with the saved tokenizer."""
        return cls(config, TokenTable.load(config, folder))

    def save_assets(self, folder: Path) -> None:
        """Write tokenizer.json."""
        self.tokens.save(folder)

    def prepare(self, corpus: Corpus) -> Prepared:
        """Tokenise every query and product once."""
        return self.tokens.prepare(corpus)
