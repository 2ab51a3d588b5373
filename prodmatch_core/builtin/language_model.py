"""Language models: a network and the tokenizer that goes with it, made small on the spot, loaded or saved.

Nothing here executes what it loads: weights come from safetensors files, the rest from JSON, and code that a model's
repository may ship is never run.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from prodmatch_core.errors import ConfigError
from prodmatch_core.tokens.batches import Inputs, Template
from prodmatch_core.tokens.tokenizer import unknown_token
from prodmatch_core.writing import write_json, write_text

LOADING = (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError)
"What transformers raises for a model that is absent, damaged or of a kind it does not know."


@attrs.frozen(eq=False)
class LanguageModel:
    """An encoder network with its tokenizer."""

    network: PreTrainedModel
    tokenizer: Tokenizer

    @classmethod
    def small(
        cls, tokenizer: Tokenizer, *, hidden: int, layers: int, heads: int, max_length: int, dropout: float
    ) -> LanguageModel:
        """Make a BERT (arXiv 1810.04805) of the given sizes with initial weights from torch's generator."""
        config = BertConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            max_position_embeddings=max_length,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            pad_token_id=tokenizer.token_to_id("[PAD]"),
        )
        return cls(_network(config), tokenizer)

    @classmethod
    def pretrained(cls, name: str) -> LanguageModel:
        """Load the model in a folder, or one of the Hugging Face hub by its name.

        Raises:
            ConfigError: there is no such model, or it cannot be used; the message says where it was looked for.
        """
        path = _folder(name)
        try:
            if path is not None:
                network, report, wrapped = _load(str(path), local=True)
            else:
                try:  # a cached model stays the same model, and a resumed run needs no network
                    network, report, wrapped = _load(name, local=True)
                except LOADING:
                    network, report, wrapped = _load(name, local=False)
        except LOADING as error:
            raise ConfigError(_cannot_load(name, path, error)) from error
        network = _without_pooler(network)
        absent = sorted(set(report["missing_keys"]) & set(network.state_dict()))
        if absent:
            raise ConfigError(
                f'model "{name}": its weights lack {len(absent)} of the network\'s tensors, first {absent[0]}. '
                "Name a model saved whole by save_pretrained."
            )
        tokenizer = getattr(wrapped, "backend_tokenizer", None)
        if tokenizer is None:
            raise ConfigError(
                f'model "{name}": its tokenizer ({type(wrapped).__name__}) has no fast form. '
                "Name a model that comes with a tokenizer.json."
            )
        network.config.pad_token_id = wrapped.pad_token_id or 0
        # A copy: the wrapper switches truncation and padding on and off in its own.
        return cls(network, _plain(Tokenizer.from_str(tokenizer.to_str())))._checked(name)

    @classmethod
    def load(cls, folder: Path) -> LanguageModel:
        """Rebuild what `save` wrote, with initial weights in place of the trained ones."""
        with _quiet():
            config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        return cls(_network(config), _plain(Tokenizer.from_file(str(folder / "tokenizer.json"))))

    def save(self, folder: Path) -> None:
        """Write config.json and tokenizer.json, without weights and without the path the model came from."""
        config = {
            key: value for key, value in self.network.config.to_dict().items() if key != "_name_or_path"
        }
        write_json(folder / "config.json", config)
        write_text(folder / "tokenizer.json", self.tokenizer.to_str())

    @property
    def embeddings(self) -> nn.Embedding:
        """Return the table of the tokens' input vectors."""
        table = self.network.get_input_embeddings()
        assert isinstance(table, nn.Embedding)
        return table

    @property
    def positions(self) -> int | None:
        """Return the longest input in tokens, or None where the network sets no limit."""
        for name, module in self.network.named_modules():
            if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
                # RoBERTa and its kin count positions from the padding id on.
                offset = 0 if module.padding_idx is None else int(module.padding_idx) + 1
                return module.num_embeddings - offset
        return getattr(self.network.config, "max_position_embeddings", None)

    def inputs(self, flags: bool) -> Inputs:
        """Return what the network reads, with overlap flags or without."""
        kinds = max(Template.of_pair(self.tokenizer).types) + 1
        known = getattr(self.network.config, "type_vocab_size", 0)
        accepted = "token_type_ids" in inspect.signature(self.network.forward).parameters
        return Inputs(
            pad=self.network.config.pad_token_id,
            unknown=unknown_token(self.tokenizer),
            types=accepted and 1 < kinds <= known,
            flags=flags,
        )

    def _checked(self, name: str) -> LanguageModel:
        """Return self, or raise ConfigError when network and tokenizer cannot work together."""
        if self.network.config.is_encoder_decoder:
            raise ConfigError(
                f'model "{name}" is an encoder-decoder ({self.network.config.model_type}); name an encoder.'
            )
        rows, tokens = self.embeddings.num_embeddings, self.tokenizer.get_vocab_size()
        if tokens > rows:
            raise ConfigError(
                f'model "{name}": the tokenizer has {tokens} tokens, the network embeds {rows}; '
                "they are not of one model."
            )
        return self


def _load(source: str, local: bool) -> tuple[PreTrainedModel, Mapping[str, Any], PreTrainedTokenizerBase]:
    """Return network, loading report and tokenizer of a folder or hub name; `local` forbids downloading."""
    options = {"local_files_only": local, "trust_remote_code": False}
    with _quiet():
        config = AutoConfig.from_pretrained(source, **options)
        wrapped = AutoTokenizer.from_pretrained(source, config=config, **options)
        network, report = AutoModel.from_pretrained(
            source,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    return network, report, wrapped


def _network(config: PreTrainedConfig) -> PreTrainedModel:
    with _quiet():
        return _without_pooler(AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32))


def _without_pooler(network: PreTrainedModel) -> PreTrainedModel:
    """Take off BERT's pooler: no loss reaches it, and several processes wait for parameters without gradients."""
    if getattr(network, "pooler", None) is not None:
        network.pooler = None  # type: ignore[assignment]
    return network


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """Switch off the truncation and padding a tokenizer.json may ask for: batches do both."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _folder(name: str) -> Path | None:
    """Return the folder that `name` means, or None for the name of a model on the hub.

    Raises:
        ConfigError: `name` is a path, and there is no such folder or no model in it.
    """
    path = Path(name).expanduser()
    if not path.is_dir():
        if name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name or path.is_file():
            raise ConfigError(
                f'model "{name}": there is no folder {path.absolute()}. Name a folder that holds config.json, '
                "tokenizer.json and *.safetensors, or a model of the Hugging Face hub."
            )
        return None
    if not (path / "config.json").is_file():
        raise ConfigError(
            f'model "{name}": the folder {path.absolute()} has no config.json. '
            "Name the folder that save_pretrained wrote."
        )
    if not any(path.glob("*.safetensors")):
        raise ConfigError(
            f'model "{name}": the folder {path.absolute()} has no *.safetensors weights; pickled ones (*.bin) are '
            "never read. Load the model where you trust it and call save_pretrained."
        )
    return path


def _cannot_load(name: str, path: Path | None, error: Exception) -> str:
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if path is not None:
        return f'model "{name}": the folder {path.absolute()} cannot be loaded: {reason}'
    return (
        f'model "{name}": there is no folder {Path(name).absolute()}, and the Hugging Face hub or its local cache '
        "gave no such model with safetensors weights. Weights are not downloaded while offline. Check the name, go "
        "online once, name a local folder, or leave model empty for a small model made on the spot. "
        f"Reason: {reason}"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the messages and progress bars of transformers and its hub client, and put both back afterwards."""
    libraries = (transformers_logging, hub_logging)
    levels = [library.get_verbosity() for library in libraries]
    bars = transformers_logging.is_progress_bar_enabled()
    for library in libraries:
        library.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
