from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from prodmatch_core.builtin.transformer import TransformerEncoder
from prodmatch_core.builtin.transformer_config import TransformerConfig
from prodmatch_core.components.encoder import FitData
from prodmatch_core.data.corpus import frame_examples
from prodmatch_core.data.dataset import ESCI, Dataset
from prodmatch_core.errors import ConfigError

Make = Callable[..., TransformerEncoder]
ROWS = np.arange(6)
VARIANTS = [
    {"mode": "cross_encoder"},
    {"mode": "cross_encoder", "overlap_flags": False, "pooling": "cls"},
    {"mode": "two_tower"},
    {"mode": "two_tower", "pooling": "cls"},
]
variants = pytest.mark.parametrize("fields", VARIANTS, ids=lambda f: "-".join(str(v) for v in f.values()))


def vectors(
    encoder: TransformerEncoder, data: FitData, query: np.ndarray, product: np.ndarray
) -> torch.Tensor:
    """Everything the encoder says of the pairs, side by side."""
    with torch.inference_mode():
        encoding = encoder(encoder.prepare(data.corpus).batch(query, product))
    given = [part for part in (encoding.pair, encoding.query, encoding.product) if part is not None]
    return torch.cat(given, dim=1)


def pairs(data: FitData) -> tuple[np.ndarray, np.ndarray]:
    return data.train.query, data.train.product


@variants
def test_a_pair_encoded_alone_is_as_in_a_padded_batch(make: Make, data: FitData, fields: dict) -> None:
    encoder = make(**fields)
    query, product = pairs(data)
    together = vectors(encoder, data, query, product)
    alone = torch.cat([vectors(encoder, data, query[i : i + 1], product[i : i + 1]) for i in ROWS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@variants
def test_more_padding_changes_nothing(make: Make, data: FitData, fields: dict) -> None:
    encoder = make(**fields)
    batch = encoder.prepare(data.corpus).batch(*pairs(data))
    wider = {name: torch.nn.functional.pad(tensor, (0, 3)) for name, tensor in batch.items()}
    with torch.inference_mode():
        one, other = (attrs.astuple(encoder(b), recurse=False) for b in (batch, wider))
    for a, b in zip(one, other, strict=True):
        assert (a is None) is (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


@variants
def test_other_pairs_in_the_batch_and_their_order_change_nothing(
    make: Make, data: FitData, fields: dict
) -> None:
    encoder = make(**fields)
    query, product = pairs(data)
    order = np.array([4, 1, 0, 5])
    some = vectors(encoder, data, query[order], product[order])
    torch.testing.assert_close(some, vectors(encoder, data, query, product)[order], atol=1e-5, rtol=0)


@variants
def test_evaluation_is_deterministic(make: Make, data: FitData, fields: dict) -> None:
    encoder = make(**fields)
    assert torch.equal(vectors(encoder, data, *pairs(data)), vectors(encoder, data, *pairs(data)))


@variants
def test_two_encoders_of_one_seed_are_equal_and_of_two_seeds_are_not(
    make: Make, data: FitData, fields: dict
) -> None:
    first, again, other = (vectors(make(seed, **fields), data, *pairs(data)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@variants
def test_every_parameter_gets_a_finite_gradient(make: Make, data: FitData, fields: dict) -> None:
    encoder = make(**fields).train()
    encoding = encoder(encoder.prepare(data.corpus).batch(*pairs(data)))
    given = [part for part in (encoding.pair, encoding.query, encoding.product) if part is not None]
    sum((part**3).sum() for part in given).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@variants
def test_vectors_have_the_declared_width_and_the_mode_decides_which_there_are(
    make: Make, data: FitData, fields: dict
) -> None:
    encoder = make(**fields)
    encoding = encoder(encoder.prepare(data.corpus).batch(*pairs(data)))
    expected = ["pair"] if fields["mode"] == "cross_encoder" else ["query", "product"]
    shapes = {
        name: part.shape for name, part in attrs.asdict(encoding, recurse=False).items() if part is not None
    }
    assert shapes == dict.fromkeys(expected, (6, encoder.width))
    assert encoder.width == 32


@variants
def test_autocast_to_bf16_gives_finite_float32_near_the_exact_result(
    make: Make, data: FitData, fields: dict
) -> None:
    encoder = make(**fields)
    exact = vectors(encoder, data, *pairs(data))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = vectors(encoder, data, *pairs(data))
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.1, rtol=0)


@variants
def test_saved_and_loaded_without_a_pickle_it_gives_the_same_vectors(
    make: Make, data: FitData, fields: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was opened")

    for name in ("load", "loads", "Unpickler", "dump", "dumps", "Pickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    encoder = make(**fields)
    encoder.save_assets(tmp_path)
    save_file({k: v.clone() for k, v in encoder.state_dict().items()}, tmp_path / "model.safetensors")
    again = TransformerEncoder.load(encoder.config, tmp_path).eval()
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(vectors(again, data, *pairs(data)), vectors(encoder, data, *pairs(data)))


def test_the_order_of_query_and_product_matters_to_a_cross_encoder(make: Make, data: FitData) -> None:
    encoder = make(overlap_flags=False)
    batch = dict(encoder.prepare(data.corpus).batch(np.array([0]), np.array([0])))
    swapped = {**batch, "types": 1 - batch["types"]}
    assert not torch.allclose(encoder(batch).pair, encoder(swapped).pair)


def test_flags_change_the_vector_of_a_pair(make: Make, data: FitData) -> None:
    encoder = make()
    batch = dict(encoder.prepare(data.corpus).batch(*pairs(data)))
    assert batch["flags"].any()
    silent = {**batch, "flags": torch.zeros_like(batch["flags"])}
    assert not torch.allclose(encoder(batch).pair, encoder(silent).pair)


def test_the_vocabulary_is_learnt_from_catalogue_and_training_queries_only() -> None:
    frame = pl.DataFrame({"query": ["red ж", "red щ"], "title": ["shoes ю", "shoes э"]})
    corpus, examples = frame_examples(frame)
    train, held = examples.take(slice(0, 1)), examples.take(slice(1, 2))
    config = TransformerConfig(hidden=8, heads=1, layers=1, vocabulary=400)
    data = FitData(corpus, train, held, ESCI, Dataset("tiny"))
    vocabulary = TransformerEncoder.build(config, data, np.random.default_rng(0)).model.tokenizer.get_vocab()
    assert {letter for letter in "жщюэ" if letter in vocabulary} == {"ж", "ю", "э"}


def test_a_model_from_a_folder_serves_both_modes(saved: Path, data: FitData) -> None:
    for mode in ("cross_encoder", "two_tower"):
        config = TransformerConfig(model=str(saved), mode=mode, max_length=32)
        encoder = TransformerEncoder.build(config, data, np.random.default_rng(0)).eval()
        query, product = pairs(data)
        together = vectors(encoder, data, query, product)
        alone = torch.cat([vectors(encoder, data, query[i : i + 1], product[i : i + 1]) for i in ROWS])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_overlap_flags_leave_a_pretrained_model_as_it_was_at_first(saved: Path, data: FitData) -> None:
    plain, flagged = (
        TransformerEncoder.build(
            TransformerConfig(model=str(saved), max_length=32, overlap_flags=flags),
            data,
            np.random.default_rng(0),
        ).eval()
        for flags in (False, True)
    )
    expected = vectors(plain, data, *pairs(data))
    torch.testing.assert_close(vectors(flagged, data, *pairs(data)), expected, atol=1e-6, rtol=0)


def test_inputs_longer_than_the_model_reads_are_refused_before_training(saved: Path, data: FitData) -> None:
    config = TransformerConfig(model=str(saved), max_length=65)
    with pytest.raises(ConfigError) as caught:
        TransformerEncoder.build(config, data, np.random.default_rng(0))
    assert str(caught.value) == (
        f'max_length 65 is more than the 64 tokens model "{saved}" can read; set max_length to 64 or less.'
    )


def test_inputs_of_the_full_length_are_read(saved: Path, make: Make, data: FitData) -> None:
    config = TransformerConfig(model=str(saved), max_length=12, fields=("title",))
    for encoder in (TransformerEncoder.build(config, data, np.random.default_rng(0)), make(max_length=8)):
        prepared = encoder.prepare(data.corpus)
        assert prepared.lengths(*pairs(data)).max() == encoder.config.max_length
        assert torch.isfinite(vectors(encoder.eval(), data, *pairs(data))).all()
