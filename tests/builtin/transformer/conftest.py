"""A tiny catalogue, encoders built on it, and models of other families saved the way their users save them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from prodmatch_core.builtin.transformer import TransformerEncoder
from prodmatch_core.builtin.transformer_config import TransformerConfig
from prodmatch_core.components.encoder import FitData
from prodmatch_core.data.corpus import Examples, frame_examples
from prodmatch_core.data.dataset import ESCI, Dataset

logging.getLogger("transformers").setLevel(logging.ERROR)

PAIRS = [
    ("red running shoes", "Nike running shoe for men, red and white, size 10"),
    ("red running shoes", "Dress shoes"),
    ("iphone case", "Slim phone case for iPhone 15 with kickstand, shock-proof, blue"),
    ("スマホケース", "スマホケース 手帳型 iPhone15ケース 防水"),
    ("zapatos niño", "Zapatos de piel para niño, talla 34"),
    ("tv", "Soundbar"),
]
ROWS = np.arange(len(PAIRS))
SIZES = {"hidden": 32, "layers": 2, "heads": 2, "vocabulary": 400, "max_length": 48}


def tiny_data(pairs: list[tuple[str, str]] = PAIRS) -> FitData:
    corpus, examples = frame_examples(pl.DataFrame(pairs, schema=["query", "title"], orient="row"))
    return FitData(corpus, examples, Examples.empty(), ESCI, Dataset("tiny"))


@pytest.fixture(scope="session")
def data() -> FitData:
    return tiny_data()


@pytest.fixture(scope="session")
def make(data: FitData) -> Callable[..., TransformerEncoder]:
    """Build a small encoder on the tiny catalogue, in evaluation mode."""

    def build(seed: int = 0, **fields: object) -> TransformerEncoder:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            config = TransformerConfig(**{**SIZES, **fields})
            return TransformerEncoder.build(config, data, np.random.default_rng(seed)).eval()

    return build


Family = tuple[PreTrainedTokenizerFast, PreTrainedModel]
TEXTS = [text for pair in PAIRS for text in pair]


def bert() -> Family:
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # Published tokenizers come with truncation and padding switched on; neither may reach a batch.
    tokenizer.enable_truncation(12)
    tokenizer.enable_padding(length=12)
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), specials, strict=True))
    return _family(tokenizer, names, BertModel, BertConfig, max_position_embeddings=64)


def roberta() -> Family:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
    sizes = {"max_position_embeddings": 66, "type_vocab_size": 1, "pad_token_id": 1}
    return _family(tokenizer, names, RobertaModel, RobertaConfig, **sizes)


def xlm_roberta() -> Family:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>"}
    sizes = {"max_position_embeddings": 66, "type_vocab_size": 1, "pad_token_id": 1}
    return _family(tokenizer, names, RobertaModel, RobertaConfig, **sizes)


def _family(tokenizer: Tokenizer, names: dict[str, str], model: type, config: type, **sizes: int) -> Family:
    tokens = {f"{name}_token": token for name, token in names.items()}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = model(
            config(
                vocab_size=len(wrapped),
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                **sizes,
            )
        )
    return wrapped, network.eval()


FAMILIES = {"bert": bert, "roberta": roberta, "xlm_roberta": xlm_roberta}


@pytest.fixture(scope="session", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    """A tokenizer and a network of one family, as its users hold them."""
    return FAMILIES[request.param]()


@pytest.fixture(scope="session")
def saved(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that family's `save_pretrained` wrote."""
    folder = tmp_path_factory.mktemp("model")
    for part in family:
        part.save_pretrained(folder)
    return folder
