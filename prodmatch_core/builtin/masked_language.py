"""Masked language modelling: what a small model can learn from a catalogue before it sees a label.

Devlin et al., arXiv 1810.04805, section 3.1: of the tokens chosen, 80 % are masked, 10 % replaced by a random one and
10 % left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.builtin.language_model import LanguageModel
from prodmatch_core.tokens.batches import Template, Tokens, TowerBatches
from prodmatch_core.tokens.tokenizer import SPECIAL_TOKENS
from prodmatch_core.training.batches import epoch_batches

CHOSEN = 0.15
"Share of tokens the model has to guess."
MASK = SPECIAL_TOKENS.index("[MASK]")
BATCH = 64
"Texts a step."
LEARNING_RATE = 1e-3
"Peak step size of AdamW; a tenth of the steps warm up, the rest decay linearly to 0."


class TokenGuess(nn.Module):
    """Token logits from states, with the network's own embeddings as the output layer."""

    def __init__(self, embeddings: nn.Embedding, width: int) -> None:
        """Make a head for states of size `width`, the embeddings' own."""
        super().__init__()
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.embeddings = embeddings
        self.bias = nn.Parameter(torch.zeros(embeddings.num_embeddings))

    def forward(self, states: Tensor) -> Tensor:
        """Return (positions, vocabulary) logits of (positions, width) states."""
        return functional.linear(self.transform(states), self.embeddings.weight, self.bias)


@attrs.frozen(eq=False)
class Masked:
    """A batch with some of its tokens hidden."""

    shown: np.ndarray
    "(n, length) int64 token ids as the network sees them."
    chosen: np.ndarray
    "(n, length) bool, True where the token has to be guessed."


def mask_tokens(ids: np.ndarray, vocabulary: int, rng: np.random.Generator) -> Masked:
    """Choose tokens of (n, length) int64 `ids` to be guessed, and hide most of them; special tokens are spared."""
    chosen = (ids >= len(SPECIAL_TOKENS)) & (rng.random(ids.shape) < CHOSEN)
    fate = rng.random(ids.shape)
    shown = np.where(chosen & (fate < 0.8), MASK, ids)
    others = rng.integers(len(SPECIAL_TOKENS), vocabulary, ids.shape)
    return Masked(np.where(chosen & (fate >= 0.9), others, shown), chosen)


def pretrain(
    model: LanguageModel, texts: Sequence[str], epochs: int, max_length: int, rng: np.random.Generator
) -> list[float]:
    """Train `model.network` in place to guess hidden tokens of `texts`; return the mean loss of each epoch.

    Args:
        model: a small model with the tokenizer of `train_tokenizer`.
        texts: what it reads; each is one input.
        epochs: passes over the texts.
        max_length: longest input in tokens, special tokens included.
        rng: source of the order and of what is hidden; the head's weights and dropout come from torch's generator.
    """
    tokens = Tokens.of(texts, model.tokenizer, max_length)
    template = Template.of_text(model.tokenizer)
    batches = TowerBatches(tokens, tokens, template, model.inputs(flags=False), max_length)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    guess = TokenGuess(model.embeddings, model.network.config.hidden_size)
    both = nn.ModuleList([model.network, guess]).to(device).train()
    optimizer = torch.optim.AdamW(both.parameters(), lr=LEARNING_RATE, fused=True)
    steps = epochs * -(-len(texts) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.1 * steps + 1), (steps - step) / (0.9 * steps + 1))
    )
    means = []
    for _ in range(epochs):
        losses = []
        for rows in epoch_batches(tokens.counts, BATCH, rng):
            batch = batches.batch(rows, rows[:0])
            ids, mask = batch["query_ids"], batch["query_mask"].to(device)
            hidden = mask_tokens(ids.numpy(), model.tokenizer.get_vocab_size(), rng)
            if hidden.chosen.any():
                chosen = torch.from_numpy(hidden.chosen)
                shown = torch.from_numpy(hidden.shown).to(device)
                states = model.network(input_ids=shown, attention_mask=mask.long()).last_hidden_state
                loss = functional.cross_entropy(guess(states[chosen.to(device)]), ids[chosen].to(device))
                loss.backward()
                nn.utils.clip_grad_norm_(both.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
                losses.append(loss.detach())
        means.append(float(torch.stack(losses).mean()) if losses else float("nan"))
    model.network.cpu()
    return means
