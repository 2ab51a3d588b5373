"""Measures with a number in their name: one record for all of them, the core's and anyone's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fake_parts import BASE, fake_registry
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.errors import ConfigError, PluginError
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.ranked import Ranked
from prodmatch_core.plugins import PluginState
from prodmatch_core.records import MeasureSpec
from prodmatch_core.registry import Registry


def depth(ranked: Ranked, k: int) -> np.ndarray:
    """Return k for every query: a ranking measure of somebody else's."""
    return np.full(ranked.queries, float(k))


@pytest.fixture(scope="module")
def registry() -> Registry:
    state = PluginState("acme", "prodmatch-acme", "1.0", "prodmatch_acme.plugin")
    shared = {"summary": "Depth.", "direction": "higher", "factory": f"{__name__}:depth", "reads": "ranking"}
    state.records.append(MeasureSpec(name="acme.depth@k", **shared))
    state.records.append(MeasureSpec(name="acme.depth@7", **{**shared, "summary": "Seven."}))
    return fake_registry(state)


def test_every_number_is_a_measure_with_its_own_name(registry: Registry) -> None:
    assert registry.measure("acme.depth@20").name == "acme.depth@20"
    assert registry.measure("acme.depth@1").k == 1


def test_the_number_reaches_the_factory(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeasureSpec, "_import", lambda self, dotted: depth)
    spec = registry.measure("acme.depth@20")
    e = Evaluated([0, 3], np.eye(4)[[0, 3]], [0, 3], [0, 1], ESCI)
    assert spec.load()(e)(np.ones(2)) == 20
    assert spec.load_ranking()(e.ranked).tolist() == [20, 20]


def test_a_record_of_the_full_name_goes_before_its_family(registry: Registry) -> None:
    assert registry.measure("acme.depth@7").summary == "Seven."


def test_a_member_belongs_to_the_plugin_of_its_family(registry: Registry) -> None:
    assert registry.owner(registry.measure("acme.depth@20")).distribution == "prodmatch-acme"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acme.depth@k", 'measure "acme.depth@k": write a number for k, like "acme.depth@10"'),
        ("acme.dept@30", 'unknown measure "acme.dept@30"; did you mean "acme.depth@30"?'),
        ("acme.depth@0", 'unknown measure "acme.depth@0"; did you mean "acme.depth@k"?'),
        ("acme.depth@-3", 'unknown measure "acme.depth@-3"; did you mean "acme.depth@k"?'),
    ],
)
def test_a_name_that_is_no_measure_is_refused(registry: Registry, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        registry.measure(name)
    assert str(error.value) == message


def test_pipeline_files_name_members_of_families(registry: Registry) -> None:
    tree = {
        "pipeline": {"name": "demo"},
        "data": {"use": "fake.files", "path": "x"},
        "member": [{"encoder": {"use": "fake.text"}, "training": {"measure": "acme.depth@3"}}],
        "evaluation": {"measures": ["acme.depth@40"]},
    }
    assert load_pipeline(tree, (), registry).evaluation.measures == ("acme.depth@40",)


def test_a_family_in_a_pipeline_file_is_refused_where_it_stands(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(BASE + '[evaluation]\nmeasures = ["acme.depth@k"]\ngain_profile = "esci-script"\n')
    with pytest.raises(ConfigError) as error:
        load_pipeline(path, (), registry)
    assert 'evaluation.gain_profile: expected one of "scheme", "esci", "esci-official-script"' in str(
        error.value
    )
    path.write_text(BASE + '[evaluation]\nmeasures = ["acme.depth@k"]\n')
    with pytest.raises(ConfigError) as error:
        load_pipeline(path, (), registry)
    assert str(error.value) == (
        f'{path}: 1 problem\n  evaluation.measures[0]: measure "acme.depth@k": write a number for k, like '
        '"acme.depth@10"'
    )


def test_a_gain_profile_for_other_labels_is_refused_before_the_data_is_read() -> None:
    tree = {
        "pipeline": {"name": "demo"},
        "data": {"use": "core.pairs", "path": "absent.csv"},
        "member": [{"encoder": {"use": "core.overlap"}}],
        "evaluation": {"gain_profile": "esci"},
    }
    with pytest.raises(ConfigError) as error:
        load_pipeline(tree)
    assert str(error.value).endswith(
        'evaluation.gain_profile: "esci" is for the labels exact, substitute, complement, irrelevant; this data has '
        "match, mismatch. Use linear, exponential or binary, or leave it out for the label scheme's own gains"
    )


@pytest.mark.parametrize(
    ("use", "labels"),
    [
        ("core.crowdflower", "excellent, good, fair, poor"),
        ("core.homedepot", "match, mismatch"),
        ("core.wands", "exact, partial, irrelevant"),
        ("core.magellan", "match, mismatch"),
    ],
)
def test_a_gain_profile_is_held_against_the_labels_of_public_sets(use: str, labels: str) -> None:
    tree = {
        "pipeline": {"name": "demo"},
        "data": {"use": use} | ({"folder": "absent"} if use == "core.magellan" else {}),
        "member": [{"encoder": {"use": "core.overlap"}}],
        "evaluation": {"gain_profile": "esci"},
    }
    with pytest.raises(ConfigError, match=f'"esci" is for the labels exact, .*; this data has {labels}[.]'):
        load_pipeline(tree)


def test_the_gain_profiles_of_esci_fit_esci() -> None:
    tree = {
        "pipeline": {"name": "demo"},
        "data": {"use": "core.esci"},
        "member": [{"encoder": {"use": "core.overlap"}}],
        "evaluation": {"gain_profile": "esci-official-script"},
    }
    assert load_pipeline(tree).evaluation.gain_profile == "esci-official-script"


def test_a_measure_of_predictions_is_no_measure_of_rankings() -> None:
    spec = MeasureSpec(name="acme.f1", summary="F1.", factory="a:b", direction="higher")
    with pytest.raises(PluginError) as error:
        spec.load_ranking()
    assert str(error.value) == "measure acme.f1: reads class predictions, not a ranking"
