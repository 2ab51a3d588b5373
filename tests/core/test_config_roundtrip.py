"""A resolved pipeline, written as TOML and read again, is the same pipeline."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_parts import BASE, fake_registry
from prodmatch_core.config import apply_override, load_data, load_pipeline, resolved, to_toml
from prodmatch_core.partdocs import fields_of
from prodmatch_core.sections import LossEntry

REGISTRY = fake_registry()

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,10}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
unit = st.floats(0, 1)


@st.composite
def text_encoders(draw: st.DrawFn) -> dict[str, Any]:
    fields = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "width": st.integers(1, 512),
                "dropout": unit,
                "rates": st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
                "pooling": st.sampled_from(["mean", "first"]),
            },
        )
    )
    return {"use": "fake.text", **fields}


@st.composite
def members(draw: st.DrawFn, name: str) -> dict[str, Any]:
    encoder = draw(text_encoders())
    member: dict[str, Any] = {"name": name, "encoder": encoder}
    if draw(st.booleans()):
        member["encoder"] = {"use": "fake.graph", "text": encoder, "layers": draw(st.integers(1, 3))}
        member["sampler"] = {"use": "fake.uniform"}
        losses = ["fake.entropy"]
    else:
        losses = ["fake.entropy", "fake.margin"]
    member["loss"] = draw(
        st.lists(
            st.fixed_dictionaries({"use": st.sampled_from(losses)}, optional={"weight": st.floats(0, 10)}),
            max_size=3,
        )
    )
    member["training"] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "epochs": st.integers(1, 9),
                "learning_rate": st.floats(1e-9, 1),
                "phase": st.lists(
                    st.fixed_dictionaries(
                        {"name": names}, optional={"epochs": st.integers(1, 9), "freeze": st.lists(texts)}
                    ),
                    max_size=2,
                ),
            },
        )
    )
    return member


@st.composite
def pipelines(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(1, 3))
    tree: dict[str, Any] = {
        "pipeline": {"name": draw(names), "seed": draw(st.integers(0, 2**40))},
        "data": {
            "use": "fake.shop",
            "positive": draw(st.lists(texts, max_size=2)),
            "split": {"valid": draw(st.floats(0, 0.5))},
        },
        "member": [draw(members(f"m{number}")) for number in range(count)],
    }
    if count > 1:
        tree["aggregator"] = {"use": "fake.mean"}
    if draw(st.booleans()):
        tree["calibrator"] = [{"use": "fake.scale"}] * draw(st.integers(0, 2))
    return tree


@settings(max_examples=60, deadline=None)
@given(pipelines())
def test_resolved_pipeline_reads_back_as_the_same_pipeline(tree: dict[str, Any]) -> None:
    pipeline = load_pipeline(tree, registry=REGISTRY)
    text = to_toml(resolved(pipeline))
    assert load_pipeline(tomllib.loads(text), registry=REGISTRY) == pipeline


@settings(max_examples=30, deadline=None)
@given(pipelines())
def test_resolving_twice_changes_nothing(tree: dict[str, Any]) -> None:
    once = to_toml(resolved(load_pipeline(tree, registry=REGISTRY)))
    assert to_toml(resolved(load_pipeline(tomllib.loads(once), registry=REGISTRY))) == once


scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8")),
)
trees = st.recursive(
    st.dictionaries(st.text(st.characters(codec="utf-8")), scalars, max_size=3),
    lambda inner: st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=5),
        st.one_of(scalars, st.lists(scalars, max_size=3), inner, st.lists(inner, min_size=1, max_size=2)),
        max_size=4,
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(trees)
def test_toml_that_is_written_is_read_as_what_it_was(tree: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(tree)) == tree


def test_reading_leaves_the_given_mapping_alone() -> None:
    tree = tomllib.loads(BASE)
    load_pipeline(tree, ["member.0.encoder.width=3"], REGISTRY)
    assert tree == tomllib.loads(BASE)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("a.b=3", {"a": {"b": 3}}),
        ("a.b=0.5", {"a": {"b": 0.5}}),
        ("a.b=true", {"a": {"b": True}}),
        ('a.b="3"', {"a": {"b": "3"}}),
        ("a.b=tcm.margin", {"a": {"b": "tcm.margin"}}),
        ("a.b=", {"a": {"b": ""}}),
        ("a.b=x=y", {"a": {"b": "x=y"}}),
        ("a.b=[1, 2]", {"a": {"b": [1, 2]}}),
        ("a.0.b=1", {"a": [{"b": 1}]}),
        ("a[0].b=1", {"a": [{"b": 1}]}),
    ],
)
def test_setting_in_an_empty_file_makes_the_tables_on_its_way(setting: str, expected: dict[str, Any]) -> None:
    tree: dict[str, Any] = {}
    apply_override(tree, setting)
    assert tree == expected


def test_setting_can_append_to_a_list() -> None:
    tree: dict[str, Any] = {"loss": [{"use": "a"}]}
    apply_override(tree, "loss.1.use=b")
    assert tree == {"loss": [{"use": "a"}, {"use": "b"}]}


def test_entry_0_of_a_table_that_stands_for_a_list_is_the_table() -> None:
    tree: dict[str, Any] = {"calibrator": {"use": "a"}}
    apply_override(tree, "calibrator.0.use=b")
    assert tree == {"calibrator": {"use": "b"}}


def test_setting_reaches_a_key_that_is_a_number() -> None:
    tree: dict[str, Any] = {"labels": {"1": "bad"}}
    apply_override(tree, "labels.1=good")
    assert tree == {"labels": {"1": "good"}}


def test_later_settings_win() -> None:
    pipeline = load_pipeline(tomllib.loads(BASE), ["pipeline.seed=1", "pipeline.seed=2"], REGISTRY)
    assert pipeline.pipeline.seed == 2


def test_setting_wins_over_the_file() -> None:
    pipeline = load_pipeline(tomllib.loads(BASE), ["member.0.encoder.use=fake.trees"], REGISTRY)
    assert pipeline.member[0].encoder.name == "fake.trees"


def test_a_single_table_stands_for_a_list_of_one() -> None:
    single = BASE.replace("[[member]]", "[member]")
    assert load_pipeline(tomllib.loads(single), registry=REGISTRY) == load_pipeline(
        tomllib.loads(BASE), registry=REGISTRY
    )


def test_members_without_a_name_are_called_after_their_encoder_and_numbered() -> None:
    tree = tomllib.loads(BASE)
    encoder = tree["member"][0]["encoder"]
    tree["member"] = [
        {"encoder": encoder, "name": "text-2"},
        {"encoder": encoder},
        {"encoder": encoder},
        {"encoder": encoder, "name": "text-fast"},
    ]
    tree["aggregator"] = {"use": "fake.mean"}
    pipeline = load_pipeline(tree, registry=REGISTRY)
    assert [member.name for member in pipeline.member] == ["text-2", "text", "text-3", "text-fast"]


def test_data_section_alone_takes_settings_with_and_without_its_prefix() -> None:
    section = load_data("fake.files", ["path=a.csv", "data.rows=5", "split.valid=0.2"], REGISTRY)
    assert (section.part.config.path, section.part.config.rows, section.split.valid) == ("a.csv", 5, 0.2)


def test_a_fields_type_reads_the_same_before_and_after_attrs_resolved_it() -> None:
    written = attrs.make_class(
        "Written",
        {
            "a": attrs.field(type="tuple[LossEntry, ...]", default=()),  # type: ignore[call-overload]
            "b": attrs.field(type="Mapping[str, float] | None", default=None),  # type: ignore[call-overload]
        },
    )
    resolved_one = attrs.make_class(
        "Resolved",
        {
            "a": attrs.field(type=tuple[LossEntry, ...], default=()),
            "b": attrs.field(type=Mapping[str, float] | None, default=None),  # type: ignore[call-overload]
        },
    )
    assert [f.type for f in fields_of(written)] == [f.type for f in fields_of(resolved_one)]
