from __future__ import annotations

from typing import Any

import pytest

from fake_parts import fake_registry
from prodmatch_core.config import load_pipeline
from prodmatch_core.errors import ConfigError
from prodmatch_core.plugins import PluginState
from prodmatch_core.records import EncoderSpec, LossSpec
from prodmatch_core.registry import Registry


def tree(**changes: Any) -> dict[str, Any]:
    return {
        "pipeline": {"name": "demo"},
        "data": {"use": "fake.files", "path": "x.csv"},
        "member": [{"encoder": {"use": "fake.text"}}],
        **changes,
    }


def problem(pipeline: dict[str, Any], registry: Registry) -> str:
    with pytest.raises(ConfigError) as caught:
        load_pipeline(pipeline, registry=registry)
    return str(caught.value)


def test_a_baseline_that_is_unknown_is_named() -> None:
    text = problem(tree(evaluation={"baselines": ["fake.tress"]}), fake_registry())
    assert (
        text
        == 'pipeline: 1 problem\n  evaluation.baselines[0]: unknown encoder "fake.tress"; did you mean "fake.trees"?'
    )


def test_a_baseline_that_is_trained_is_refused() -> None:
    text = problem(tree(evaluation={"baselines": ["fake.text"]}), fake_registry())
    assert text == (
        "pipeline: 1 problem\n  evaluation.baselines[0]: fake.text is trained by gradient steps; a baseline must fit "
        "itself. Make it a [[member]]"
    )


def test_an_encoder_that_gives_nothing_to_decide_from_is_refused() -> None:
    tokens = EncoderSpec(name="fake.tokens", summary="Tokens.", factory="fake.parts:Tokens", gives={"tokens"})
    plugin = PluginState("tokens", "prodmatch-tokens", "1.0", "prodmatch_tokens.plugin", records=[tokens])
    registry = fake_registry(plugin)
    text = problem(tree(member=[{"encoder": {"use": "fake.tokens"}}]), registry)
    assert text == (
        "pipeline: 1 problem\n  member[0].encoder.use: fake.tokens gives tokens; in the task match a member's encoder "
        "must give one of pairs, embeddings, probabilities, logits. Nest it in one that does, or choose another"
    )


def test_a_misfit_names_the_setting_that_would_mend_it() -> None:
    loss = LossSpec(name="fake.paired", summary="Reads pairs.", factory="fake.parts:Paired", needs={"pairs"})
    plugin = PluginState("paired", "prodmatch-paired", "1.0", "prodmatch_paired.plugin", records=[loss])
    member = {"encoder": {"use": "fake.text"}, "loss": [{"use": "fake.paired"}]}
    assert problem(tree(member=[member]), fake_registry(plugin)) == (
        "pipeline: 1 problem\n  member[0].loss[0].use: fake.paired needs pairs (one vector per example, both sides read together), which "
        'fake.text (encoder) does not give; given by fake.graph (encoder), fake.text (encoder with mode = "pair")'
    )


def test_phases_per_locale_are_refused_where_examples_are_no_pairs_of_a_query() -> None:
    pipeline = {
        "pipeline": {"name": "embed", "task": "embed"},
        "data": {"use": "core.groups", "path": "x.csv"},
        "member": [{"encoder": {"use": "core.ngram"}, "training": {"phase": [{"per_locale": True}]}}],
    }
    with pytest.raises(ConfigError) as caught:
        load_pipeline(pipeline)
    assert (
        "member[0].training.phase[0].per_locale: locales have copies in the task match, and the task is embed; remove it"
        in str(caught.value)
    )
