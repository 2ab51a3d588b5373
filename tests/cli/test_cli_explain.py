"""Which options of `explain` go together, and how figures become tables."""

from __future__ import annotations

import pytest

from prodmatch_core.cli.explained import pair
from prodmatch_core.cli.tables import Bar


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--query", "x"], "a pair given by its texts needs --query and --title."),
        (["--brand", "x"], "a pair given by its texts needs --query and --title."),
        (
            ["--query", "x", "--title", "y", "--query-id", "q", "--product-id", "p"],
            "a pair is given by its texts or by its identifiers, not by both.",
        ),
        (["--product-id", "p"], "--product-id needs --query-id: a pair is a query and a product."),
        (["--query", " ", "--title", "y"], "--query is empty; give its words."),
        (["--query", "x", "--title", ""], "--title is empty; give its words."),
        (
            ["--query", "x", "--title", "y", "--rows", "3"],
            "--rows is for the summary; leave it out for a pair.",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(invoke, words: list[str], expected: str) -> None:
    result = invoke("explain", "run", *words)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, f"Error: {expected}")


def test_what_is_no_run_is_refused(invoke) -> None:
    result = invoke("explain", "nowhere")
    assert result.exit_code == 1
    assert result.stderr == (
        "nowhere: is not a run directory (no provenance.json); name the folder `prodmatch run` printed.\n"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "+++++"), (-0.3, "---"), (0.0, ""), (1.0, "++++++++++"), (0.01, "")]
)
def test_a_bar_is_as_long_as_its_share(value: float, text: str) -> None:
    assert str(Bar(value, 1.0, 10)) == text


def test_a_bar_of_nothing_is_empty() -> None:
    assert str(Bar(0.0, 0.0, 10)) == ""


def test_a_pair_as_plain_text(capsys) -> None:
    even = {"match": 0.6, "mismatch": 0.4}
    member = {"effect": 0.1, "agrees": True, "changes": True, "decided_without": "match"}
    word = {"field": "query", "spans": [[0, 4]], "without": 0.4, "members": {"a": 0.3, "b": 0.1}}
    pair(
        {
            "pair": {"query": "red case", "title": "case"},
            "label": "mismatch",
            "decided": "match",
            "accepted": True,
            "probabilities": even,
            "steps": [
                {"kind": "member", "name": "a", "part": "fake.a", "probabilities": even, "decided": "match"},
                {
                    "kind": "aggregator",
                    "part": "fake.mean",
                    "probabilities": even,
                    "decided": "match",
                    "accepted": True,
                },
            ],
            "members": [{"name": "a", "accepted_without": False, **member}],
            "words": [
                {
                    **word,
                    "word": "case",
                    "effect": 0.2,
                    "changes": True,
                    "decided_without": "mismatch",
                    "accepted_without": False,
                },
                {**word, "word": "red", "effect": -0.1, "changes": False},
            ],
            "words_left_out": 2,
        },
        top=1,
    )
    assert capsys.readouterr().out == (
        "query: red case\n"
        "title: case\n"
        "\n"
        "decided: match, accepted, probability 0.600; judged mismatch\n"
        "\n"
        "step        part       match  mismatch  decides\n"
        "member a    fake.a     0.600     0.400  match\n"
        "aggregator  fake.mean  0.600     0.400  match, accepted\n"
        "\n"
        "members: what each adds to match, its average opinion standing in for it\n"
        "member    adds  agrees  decided without it\n"
        "a       +0.100  yes     match, not accepted  ++++++++++++++++++++\n"
        "\n"
        "words: what each adds to match; it is taken away and the pair decided again\n"
        "text   word    adds       a       b  decided without it\n"
        "query  case  +0.200  +0.300  +0.100  mismatch, not accepted  ++++++++++++++++++++\n"
        "1 more words move less; --top or --json shows them\n"
        "2 words of a long text were left alone\n"
    )
