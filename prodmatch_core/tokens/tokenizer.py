"""A subword tokenizer trained on a catalogue, for languages with and without spaces.

Byte-pair encoding (Sennrich et al., arXiv 1508.07909) over NFKC, lower-cased text. Words carry no boundary mark, so
that "case" is the same token alone and inside a longer word or a title without spaces, and both sides of a pair
share it. A character the vocabulary lacks becomes its UTF-8 bytes: there is no text that turns into [UNK].
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"In the order of their ids, from 0."
BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))
"The names `tokenizers` gives single bytes."
LONGEST_TOKEN = 16
"Characters; without spaces, whole titles would otherwise become tokens."


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Return a tokenizer for `texts` with at most `vocabulary` tokens; the same texts give the same tokenizer.

    Args:
        texts: what the tokens are counted in.
        vocabulary: at least 300, of which 261 are special tokens and bytes.
    """
    reserved = len(SPECIAL_TOKENS) + len(BYTE_TOKENS)
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    splitter = pre_tokenizers.Sequence([pre_tokenizers.UnicodeScripts(), pre_tokenizers.BertPreTokenizer()])

    learner = Tokenizer(models.BPE())
    learner.normalizer, learner.pre_tokenizer = normalizer, splitter
    alphabet = _alphabet((normalizer.normalize_str(text) for text in texts), (vocabulary - reserved) // 2)
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary - reserved,
            min_frequency=2,
            # Left to itself, the trainer breaks ties between equally frequent characters by chance.
            initial_alphabet=alphabet,
            limit_alphabet=len(alphabet),
            max_token_length=LONGEST_TOKEN,
            show_progress=False,
        ),
    )
    learnt = json.loads(learner.to_str())["model"]
    tokens = [*SPECIAL_TOKENS, *BYTE_TOKENS, *sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=[tuple(merge) for merge in learnt["merges"]],
            unk_token="[UNK]",
            byte_fallback=True,
        )
    )
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, SPECIAL_TOKENS.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    # The special tokens are not declared to the tokenizer, so a title that spells "[SEP]" cannot forge one.
    return tokenizer


def unknown_token(tokenizer: Tokenizer) -> int | None:
    """Return the id that stands for what a tokenizer does not know, or None where there is nothing of the kind."""
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] == "Unigram":
        return model["unk_id"]
    return tokenizer.token_to_id(model["unk_token"]) if model.get("unk_token") else None


def _alphabet(texts: Iterable[str], size: int) -> list[str]:
    """Return the `size` most frequent characters in order of their code points; ties go to the smaller."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    found = (character for character in counts if not character.isspace())
    return sorted(sorted(found, key=lambda character: (-counts[character], character))[:size])
