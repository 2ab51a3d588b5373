from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from prodmatch_core.builtin.language_model import LanguageModel
from prodmatch_core.builtin.masked_language import CHOSEN, MASK, mask_tokens, pretrain
from prodmatch_core.builtin.transformer import TransformerEncoder
from prodmatch_core.tokens.tokenizer import SPECIAL_TOKENS, train_tokenizer

TEXTS = ["red running shoes for men", "blue phone case", "red phone case", "blue running shoes"] * 8


def small() -> LanguageModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden": 32, "layers": 1, "heads": 2, "max_length": 16, "dropout": 0.0}
        return LanguageModel.small(train_tokenizer(TEXTS, 320), **sizes)


def test_one_token_in_seven_is_chosen_and_eight_in_ten_of_these_masked() -> None:
    ids = np.full((400, 100), 50)
    masked = mask_tokens(ids, vocabulary=1000, rng=np.random.default_rng(0))
    among = masked.shown[masked.chosen]
    assert abs(masked.chosen.mean() - CHOSEN) < 0.01
    assert abs((among == MASK).mean() - 0.8) < 0.02
    assert abs((among == 50).mean() - 0.1) < 0.02
    assert (masked.shown[~masked.chosen] == 50).all()
    assert among[among != MASK].min() >= len(SPECIAL_TOKENS)


def test_special_tokens_and_padding_are_never_chosen() -> None:
    ids = np.tile(np.arange(len(SPECIAL_TOKENS)), (100, 1))
    masked = mask_tokens(ids, vocabulary=10, rng=np.random.default_rng(0))
    assert not masked.chosen.any()
    assert np.array_equal(masked.shown, ids)


def test_the_model_learns_to_guess_hidden_words() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        losses = pretrain(small(), TEXTS, epochs=100, max_length=16, rng=np.random.default_rng(0))
    assert losses[0] > 5  # the vocabulary has some 300 tokens: chance is a loss of log 300 = 5.7
    assert np.mean(losses[-9:]) < 4


def test_texts_without_a_token_to_hide_change_nothing() -> None:
    model = small()
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    losses = pretrain(model, ["", ""], epochs=1, max_length=16, rng=np.random.default_rng(0))
    assert np.isnan(losses).all()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.network.state_dict().items())


def test_an_encoder_built_with_pretraining_differs_and_is_the_same_for_the_same_seed(
    make: Callable[..., TransformerEncoder],
) -> None:
    plain, first, again = (make(pretrain_epochs=epochs).state_dict() for epochs in (0, 2, 2))
    name = next(name for name in plain if name.endswith("query.weight"))
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], plain[name])
