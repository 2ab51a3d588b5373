"""Whatever a pipeline file or a setting says, it is a pipeline or an error that says something; nothing else."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mutations import NASTY, broken_bytes, broken_tree, toml, trees
from prodmatch_core.config import load_data, load_pipeline, resolved, to_toml
from prodmatch_core.errors import ProdmatchError
from prodmatch_core.registry import default_registry
from prodmatch_core.sections import DataSection

SHIPPED = sorted((Path(__file__).parents[2] / "pipelines").glob("*.toml"))
REGISTRY = default_registry()
WORDS = [
    "use", "name", "seed", "data", "member", "loss", "negatives", "training", "phase", "encoder", "aggregator", "weight",
    "calibrator", "evaluation", "measures", "split", "columns", "labels", "thresholds", "scheme", "path", "fields",
]  # fmt: skip
PARTS = [spec.name for kind in ("encoder", "dataset", "loss", "aggregator") for spec in REGISTRY.specs(kind)]
any_settings = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def outcome(load: Callable[[], Any]) -> Any:
    """Return what `load` returns, or the error it raises on purpose."""
    try:
        return load()
    except ProdmatchError as error:
        return error


def check(source: Any, overrides: list[str] | None = None) -> None:
    """Load a pipeline; where that works, its resolved file must load too."""
    pipeline = outcome(lambda: load_pipeline(source, overrides or [], REGISTRY))
    if isinstance(pipeline, ProdmatchError):
        assert str(pipeline).strip()
        return
    assert load_pipeline(tomllib.loads(to_toml(resolved(pipeline))), [], REGISTRY) == pipeline


def file_of(content: bytes, folder: str) -> Path:
    path = Path(folder, "any.toml")
    path.write_bytes(content)
    return path


@any_settings
@given(tree=st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=6), trees, max_size=5))
def test_any_tree(tree: dict[str, Any]) -> None:
    check(tree)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@settings(any_settings, max_examples=50)
@given(data=st.data())
def test_a_shipped_pipeline_with_broken_values(path: Path, data: st.DataObject) -> None:
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    check(data.draw(broken_tree(tree, [*WORDS, *PARTS]).filter(lambda found: isinstance(found, dict))))


@any_settings
@given(data=st.data())
def test_a_shipped_pipeline_with_broken_bytes(data: st.DataObject) -> None:
    content = data.draw(broken_bytes(data.draw(st.sampled_from(SHIPPED)).read_bytes()))
    with tempfile.TemporaryDirectory() as folder:
        check(file_of(content, folder))


@any_settings
@given(data=st.data())
def test_a_shipped_pipeline_with_any_part_in_any_place(data: st.DataObject) -> None:
    tree = tomllib.loads(data.draw(st.sampled_from(SHIPPED)).read_text(encoding="utf-8"))
    section = data.draw(st.sampled_from(["data", "member", "aggregator", "calibrator"]))
    fields = data.draw(st.dictionaries(st.sampled_from(WORDS), trees, max_size=2))
    used = {"use": data.draw(st.sampled_from(PARTS)), **fields}
    tree[section] = [{"encoder": used}] if section == "member" else used
    check(tree)


steps = st.sampled_from([*WORDS, "0", "1", "-1", "99999999999999999999", "", " "]) | st.text(max_size=4)
values = st.sampled_from([*NASTY, *PARTS, "[]", "{}", "{use = 3}", "[[1]]", "nan", "'"]) | st.text(max_size=6)
written = trees.map(lambda tree: toml({"value": tree}).decode().partition("=")[2].strip())


@settings(any_settings, max_examples=300)
@given(
    path=st.sampled_from(SHIPPED),
    texts=st.lists(
        st.text(max_size=12)
        | st.tuples(st.lists(steps, min_size=1, max_size=5).map(".".join), values | written).map("=".join)
        | st.tuples(st.sampled_from(["member[0]", "member[", "data[0].use", "]"]), values).map("=".join),
        min_size=1,
        max_size=3,
    ),
)
def test_any_setting(path: Path, texts: list[str]) -> None:
    check(path, texts)


@any_settings
@example(source="\x00.toml", texts=[])
@given(
    source=st.sampled_from([*PARTS, "", ".toml", "x.toml", "\x00.toml"]) | st.text(max_size=8),
    texts=st.lists(st.text(max_size=8) | st.tuples(steps, values).map("=".join), max_size=2),
)
def test_any_data_section(source: str, texts: list[str]) -> None:
    found = outcome(lambda: load_data(source, texts, REGISTRY))
    assert isinstance(found, DataSection) or str(found).strip()
