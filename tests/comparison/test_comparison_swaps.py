"""`--swap`: what is read, what an arm is called, and that no text gives a traceback."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_parts import BASE, fake_registry
from prodmatch_core.config import resolved, to_toml
from prodmatch_core.errors import ConfigError
from prodmatch_core.grid.plan import plan
from prodmatch_core.grid.swaps import Swap, parse_swaps, remove, variants

REGISTRY = fake_registry()
TREE = {
    "pipeline": {"name": "t"},
    "member": [{"loss": [{"use": "a"}, {"use": "b", "weight": 2.0}], "negatives": {"use": "n"}}],
    "calibrator": {"use": "c"},
}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=x,y", ("x", "y")),
        ("a= x , 2 ", ("x", "2")),
        ('a="x,y",z', ('"x,y"', "z")),
        ("a='x,y',z", ("'x,y'", "z")),
        ("a=[1,2],[3]", ("[1,2]", "[3]")),
        ('a={use="x", by={k=1}},none', ('{use="x", by={k=1}}', "none")),
        (r'a="\",",b', (r'"\","', "b")),
        ("a=b=c,d", ("b=c", "d")),
    ],
)
def test_commas_outside_quotes_and_brackets_part_values(text: str, values: tuple[str, ...]) -> None:
    assert Swap.parse(text).values == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "--swap a: expected path=value,value, like member.0.loss.0.use=core.focal,none"),
        ("=a,b", "--swap =a,b: expected path=value,value, like member.0.loss.0.use=core.focal,none"),
        ("a=b", "--swap a=b: one value is nothing to compare; add another, or use --set"),
        ("a=b,", "--swap a=b,: value 2 is empty; write '' for an empty text"),
        ("a=b,b", "--swap a=b,b: b stands there twice; remove one"),
        ("a=[1,2", "--swap a=[1,2: ] is missing at the end; close the quote or bracket"),
        ('a="b,c', '--swap a="b,c: " is missing at the end; close the quote or bracket'),
        ("a=b],c", "--swap a=b],c: ] closes nothing; quote the value that holds it"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Swap.parse(text)
    assert str(caught.value) == message


def test_all_swaps_that_cannot_be_read_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_swaps(["a=b", "c=1,2", "c=3,4", "d"])
    assert [str(problem) for problem in caught.value.problems] == [
        "--swap a=b: one value is nothing to compare; add another, or use --set",
        "--swap c=3,4: c is swapped twice; name all its values in one",
        "--swap d: expected path=value,value, like member.0.loss.0.use=core.focal,none",
    ]


@pytest.mark.parametrize(
    ("swaps", "names"),
    [
        (["m.use=core.focal,core.bce"], ["core.focal", "core.bce"]),
        (["t.learning_rate=0.01,0.1"], ["learning_rate-0.01", "learning_rate-0.1"]),
        (["m.loss.use=a,none"], ["a", "none"]),
        (["m.loss.use=a,none", "t.e=1,2"], ["a+e-1", "a+e-2", "no-loss+e-1", "no-loss+e-2"]),
        (["m='a b','a-b'"], ["m-a-b", "m-a-b-2"]),
        (["c.0.use=a,none", "t.e=1,2"], ["a+e-1", "a+e-2", "no-c+e-1", "no-c+e-2"]),
        (['m.loss={use="a.b", k=1},{use="a.b",k=2}'], ["a.b-k-1", "a.b-k-2"]),
    ],
)
def test_an_arm_is_called_after_its_values(swaps: list[str], names: list[str]) -> None:
    assert [variant.name for variant in variants(parse_swaps(swaps), "t")] == names


def written(path: str) -> dict:
    tree = copy.deepcopy(TREE)
    remove(tree, path)
    return tree


def test_none_takes_a_setting_out() -> None:
    assert "weight" not in written("member.0.loss.1.weight")["member"][0]["loss"][1]


def test_none_takes_an_entry_of_a_list_out() -> None:
    assert written("member[0].loss[0]")["member"][0]["loss"] == [{"use": "b", "weight": 2.0}]


def test_none_for_a_part_takes_the_part_out() -> None:
    assert "negatives" not in written("member.0.negatives.use")["member"][0]


@pytest.mark.parametrize("path", ["member.7.loss", "member.0.nothing.there", "pipeline.name.x", "aggregator"])
def test_what_is_not_there_needs_no_taking_out(path: str) -> None:
    assert written(path) == TREE


@given(
    text=st.text(max_size=60) | st.from_regex(r"[a-z.0\[\]]{1,12}=[\[\]{}\"',a0=\\ ]{0,20}", fullmatch=True)
)
def test_no_swap_gives_a_traceback(text: str) -> None:
    try:
        values = Swap.parse(text).values
    except ConfigError as error:
        values = (str(error), "")
    assert len(values) == len(set(values)) >= 2


@given(
    values=st.lists(
        st.from_regex(r"[a-zA-Z0-9_.-]{1,8}", fullmatch=True), min_size=2, max_size=5, unique=True
    )
)
def test_plain_values_come_back_as_they_were(values: list[str]) -> None:
    assert Swap.parse(f"path={','.join(values)}").values == tuple(values)


@given(
    values=st.lists(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=9), min_size=2, unique=True
    )
)
def test_names_of_arms_differ_and_can_be_folders(values: list[str]) -> None:
    names = [variant.name for variant in variants([Swap("a.b", tuple(values))], "t")]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", name) for name in names)


PATHS = st.from_regex(
    r"(member|pipeline|data|calibrator|[a-z])(\.([0-9]|[a-z_]{1,9}|\[0\]))*", fullmatch=True
)
VALUES = st.sampled_from(["none", "1", "x", "-0.5", "true", "[1]", "{}", '{use = "core.one"}', "'a'", "[{}]"])


@given(
    swaps=st.lists(
        st.tuples(PATHS, st.lists(VALUES, min_size=2, max_size=3, unique=True)), min_size=1, max_size=2
    )
)
def test_no_grid_gives_a_traceback(tmp_path_factory: pytest.TempPathFactory, swaps: list) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(BASE)
    texts = [f"{path}={','.join(values)}" for path, values in swaps]
    try:
        cells = plan(file, texts, out=Path("out"), registry=REGISTRY)
    except ConfigError:
        cells = []
    assert len({cell.out for cell in cells}) == len(cells)
    assert len({to_toml(resolved(cell.pipeline)) for cell in cells}) == len(cells)
