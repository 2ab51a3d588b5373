"""`core.transformer`: a transformer that reads query and product together, or each alone.

Cross-encoder: Nogueira and Cho, arXiv 1901.04085. Two towers with mean pooling: Reimers and Gurevych,
arXiv 1908.10084.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.builtin.language_model import LanguageModel
from prodmatch_core.builtin.masked_language import pretrain
from prodmatch_core.builtin.transformer_config import TransformerConfig
from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, Prepared
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.errors import ConfigError
from prodmatch_core.tokens.batches import PairBatches, Template, Tokens, TowerBatches
from prodmatch_core.tokens.tokenizer import train_tokenizer

CACHED = 262_144
"Numbers of a layer's states in a batch; the four times wider inner states then stay in a core's second-level cache."


class TransformerEncoder(Encoder):
    """A transformer over query and product.

    A batch holds, (n, longest) each: `ids` int64, `mask` bool and, where the network reads them, `types` and `flags`
    int64; of pairs as a cross-encoder, of each side (`query_ids`, `product_ids`, ...) as two towers.
    """

    exportable = True

    def __init__(self, config: TransformerConfig, model: LanguageModel) -> None:
        """Put an encoder around a language model.

        Raises:
            ConfigError: the model cannot read inputs of `config.max_length` tokens.
        """
        super().__init__()
        if model.positions is not None and config.max_length > model.positions:
            raise ConfigError(
                f'max_length {config.max_length} is more than the {model.positions} tokens model "{config.model}" can '
                f"read; set max_length to {model.positions} or less."
            )
        self.config, self.model = config, model
        self.network = model.network
        self.width: int = model.network.config.hidden_size
        self.token_budget = max(CACHED // self.width, 256)
        self.overlap = None
        if config.flags:
            self.overlap = nn.Embedding(2, model.embeddings.embedding_dim)
            # A pre-trained model starts out as it was, whatever the flags.
            nn.init.normal_(self.overlap.weight, std=0.0 if config.model else 0.02)

    @classmethod
    def build(cls, config: TransformerConfig, data: FitData, rng: np.random.Generator) -> TransformerEncoder:
        """Load the model named, or train a tokenizer on catalogue and training queries and make a small one.

        Raises:
            ConfigError: the model named cannot be loaded.
        """
        if config.model:
            return cls(config, LanguageModel.pretrained(config.model))
        queries = data.corpus.query_texts(config.fields)
        texts = [queries[row] for row in np.unique(data.train.query) if row >= 0] + data.corpus.product_texts(
            config.fields
        )
        model = LanguageModel.small(
            train_tokenizer(texts, config.vocabulary),
            hidden=config.hidden,
            layers=config.layers,
            heads=config.heads,
            max_length=config.max_length,
            dropout=config.dropout,
        )
        if config.pretrain_epochs:
            pretrain(model, texts, config.pretrain_epochs, config.max_length, rng)
        return cls(config, model)

    @classmethod
    def load(cls, config: TransformerConfig, folder: Path) -> TransformerEncoder:
        """Make the encoder from config.json and tokenizer.json; neither the network nor `config.model` is used."""
        return cls(config, LanguageModel.load(folder))

    def save_assets(self, folder: Path) -> None:
        """Write the network's config.json and tokenizer.json."""
        self.model.save(folder)

    def prepare(self, corpus: Corpus) -> Prepared:
        """Tokenise every query and product once."""
        config, tokenizer = self.config, self.model.tokenizer
        queries = Tokens.of(corpus.query_texts(config.fields), tokenizer, config.max_length)
        products = Tokens.of(corpus.product_texts(config.fields), tokenizer, config.max_length)
        inputs = self.model.inputs(config.flags)
        if config.mode == "two_tower":
            return TowerBatches(queries, products, Template.of_text(tokenizer), inputs, config.max_length)
        return PairBatches(
            queries, products, Template.of_pair(tokenizer), inputs, config.max_length, config.query_share
        )

    def forward(self, batch: Batch) -> Encoding:
        """Return `pair`, or `query` and `product`, (batch, width) float32."""
        if self.config.mode == "cross_encoder":
            return Encoding(pair=self._vectors(batch))
        query, product = (
            self._vectors(batch, side) if f"{side}mask" in batch else None for side in ("query_", "product_")
        )
        return Encoding(query=query, product=product)

    def _vectors(self, batch: Batch, prefix: str = "") -> Tensor:
        mask = batch[f"{prefix}mask"]
        if not len(mask):  # attention cannot divide nothing among its heads
            return torch.zeros(0, self.width, device=mask.device)
        arguments = {"attention_mask": mask.long()}
        if f"{prefix}types" in batch:
            arguments["token_type_ids"] = batch[f"{prefix}types"]
        if self.overlap is None:
            arguments["input_ids"] = batch[f"{prefix}ids"]
        else:
            words = self.model.embeddings(batch[f"{prefix}ids"])
            arguments["inputs_embeds"] = words + self.overlap(batch[f"{prefix}flags"])
        # Sums over many tokens lose digits in bf16.
        states = self.network(**arguments).last_hidden_state.float()
        if self.config.pooling == "cls":
            return states[:, 0]
        kept = mask.unsqueeze(-1)
        return torch.where(kept, states, 0.0).sum(dim=1) / kept.sum(dim=1)
