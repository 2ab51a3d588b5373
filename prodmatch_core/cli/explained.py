"""Explanations on the terminal: tables everywhere, with coloured bars and texts where a person is looking."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from prodmatch_core.cli.tables import Bar, Cell, print_table

WIDEST = 20
"Cells of the longest bar."


def pair(found: Mapping[str, Any], top: int) -> None:
    """Print why one pair was decided so; `top` words are listed."""
    words = found["words"]
    largest = max((abs(word["effect"]) for word in words), default=0.0)
    for name, text in found["pair"].items():
        _print_text(name, text, [word for word in words if word["field"] == name], largest)
    judged = f"; judged {found['label']}" if found.get("label") else ""
    chance = found["probabilities"][found["decided"]]
    click.echo(f"\ndecided: {_decides(found)}, probability {chance:.3f}{judged}\n")
    _print_steps(found)
    decided = found["decided"]
    if found["members"]:
        click.echo(f"\nmembers: what each adds to {decided}, its average opinion standing in for it")
        rows: list[Sequence[Cell]] = [
            [
                out["name"],
                f"{out['effect']:+.3f}",
                "yes" if out["agrees"] else "no",
                _other(out),
                Bar(out["effect"], max(abs(other["effect"]) for other in found["members"]), WIDEST),
            ]
            for out in found["members"]
        ]
        print_table(["member", "adds", "agrees", "decided without it", ""], rows, right=[1])
    if "contributions" in found:
        _print_contributions(found["contributions"], decided)
    click.echo(f"\nwords: what each adds to {decided}; it is taken away and the pair decided again")
    names = list(words[0]["members"]) if words else []
    shown_members = names if len(names) > 1 else []
    print_table(
        ["text", "word", "adds", *shown_members, "decided without it", ""],
        [
            [
                word["field"],
                word["word"],
                f"{word['effect']:+.3f}",
                *(f"{word['members'][name]:+.3f}" for name in shown_members),
                _other(word),
                Bar(word["effect"], largest, WIDEST),
            ]
            for word in words[:top]
        ],
        right=range(2, 3 + len(shown_members)),
    )
    if len(words) > top:
        click.echo(f"{len(words) - top} more words move less; --top or --json shows them")
    if found["words_left_out"]:
        click.echo(f"{found['words_left_out']} words of a long text were left alone")


def summary(found: Mapping[str, Any], top: int) -> None:
    """Print what carries a run's decisions over a sample of its test pairs; `top` words are listed."""
    sample = found["sample"]
    click.echo(
        f"{sample['pairs']} of {sample['of']} test pairs, drawn by seed {sample['seed']}; "
        f"{sample['words']} words taken away one at a time\n"
    )
    click.echo("texts: share of all that words move, up or down")
    _print_shares(
        [[field["field"], str(field["words"]), f"{field['moves']:.4f}"] for field in found["fields"]],
        ["text", "words", "a word moves"],
        [field["share"] for field in found["fields"]],
    )
    if found["members"]:
        click.echo("\nmembers: share of what each moves, its average opinion standing in for it")
        _print_shares(
            [
                [out["name"], f"{out['moves']:.3f}", f"{out['changes']:.0%}", f"{out['agrees']:.0%}"]
                for out in found["members"]
            ],
            ["member", "moves", "changes the decision", "agrees"],
            [out["share"] for out in found["members"]],
        )
    click.echo("\nwords: those that move most in all; match: what a word adds to P(match) on average")
    _print_shares(
        [
            [
                word["field"],
                word["word"],
                str(word["pairs"]),
                f"{word['moves']:.3f}",
                f"{word['match_effect']:+.3f}",
                f"{word['changes']:.0%}",
            ]
            for word in found["words"][:top]
        ],
        ["text", "word", "pairs", "moves", "match", "changes the decision"],
        [word["share"] for word in found["words"][:top]],
        texts=2,
    )
    if found["mistakes"]:
        click.echo("\nsurest mistakes, and what their words add to the wrong label")
    for wrong in found["mistakes"]:
        chance = wrong["probabilities"][wrong["decided"]]
        click.echo(f"\n  {wrong['query']} | {wrong['title']}")
        click.echo(f"  decided {wrong['decided']} ({chance:.3f}), is {wrong['label']}")
        moved = ", ".join(f"{w['word']} {w['effect']:+.3f} ({w['field']})" for w in wrong["words"][:5])
        click.echo(f"  {moved}")


def neighbours(found: Mapping[str, Any], top: int) -> None:
    """Print the nearest neighbours of a test item."""
    title = f": {found['title']}" if found["title"] else ""
    click.echo(f"{found['query_id']}{title}")
    click.echo(f"group {found['group']}; {found['relevant']} neighbours are right\n")
    print_table(
        ["rank", "neighbour", "cosine", "right", "title"],
        [
            [
                str(row["rank"]),
                row["neighbour"],
                f"{row['score']:.3f}",
                "yes" if row["right"] else "no",
                row["title"] or "",
            ]
            for row in found["neighbours"][:top]
        ],
        right=[0, 2],
    )


def _print_steps(found: Mapping[str, Any]) -> None:
    labels = list(found["probabilities"])
    print_table(
        ["step", "part", *labels, "decides"],
        [
            [
                f"member {step['name']}" if step["kind"] == "member" else step["kind"],
                step["part"],
                *(f"{step['probabilities'][label]:.3f}" for label in labels),
                _decides(step),
            ]
            for step in found["steps"]
        ],
        right=range(2, 2 + len(labels)),
    )


def _print_contributions(found: Mapping[str, Any], decided: str) -> None:
    """Print what adds up to the aggregator's score of each label, with bars for the one decided."""
    click.echo(f"\nscores: how the aggregator's add up, {found['unit']}")
    labels = list(found["base"])
    largest = max((abs(source["values"][decided]) for source in found["sources"]), default=0.0)
    rows: list[Sequence[Cell]] = [
        ["where nothing is known", *(f"{found['base'][label]:+.3f}" for label in labels), ""]
    ]
    rows += [
        [
            source["source"],
            *(f"{source['values'][label]:+.3f}" for label in labels),
            Bar(source["values"][decided], largest, WIDEST),
        ]
        for source in found["sources"]
    ]
    rows.append(["score", *(f"{found['total'][label]:+.3f}" for label in labels), ""])
    print_table(["", *labels, f"for {decided}"], rows, right=range(1, 1 + len(labels)))


def _decides(step: Mapping[str, Any]) -> str:
    """Return what a step decides; members do not say what is accepted."""
    return _decision(step["decided"], step["accepted"]) if "accepted" in step else step["decided"]


def _other(without: Mapping[str, Any]) -> str:
    """Return what is decided without a word or a member."""
    if not without["changes"]:
        return "the same"
    return _decision(without["decided_without"], without["accepted_without"])


def _decision(label: str, accepted: bool) -> str:
    return f"{label}, {'accepted' if accepted else 'not accepted'}"


def _print_shares(
    rows: Sequence[Sequence[str]], headers: Sequence[str], shares: Sequence[float], texts: int = 1
) -> None:
    """Print rows, the first `texts` columns text and the others numbers, with their shares as figures and bars."""
    largest = max(shares, default=0.0)
    print_table(
        [*headers, "share", ""],
        [
            [*row, f"{share:.1%}", Bar(share, largest, WIDEST)]
            for row, share in zip(rows, shares, strict=True)
        ],
        right=range(texts, len(headers) + 1),
    )


def _print_text(name: str, text: str, words: Sequence[Mapping[str, Any]], largest: float) -> None:
    """Print a text after its name; on a terminal its words are coloured by what they add."""
    if not sys.stdout.isatty():
        click.echo(f"{name}: {text}")
        return
    from rich.console import Console
    from rich.text import Text

    shown = Text(f"{name}: ", style="dim")
    body = Text(text, style="not dim")
    for word in words:
        strength = abs(word["effect"]) / largest if largest else 0.0
        if strength < 0.05:
            continue
        colour = "green" if word["effect"] > 0 else "red"
        style = f"bold reverse {colour}" if strength > 0.5 else f"bold {colour}" if strength > 0.2 else colour
        for start, end in word["spans"]:
            body.stylize(style, start, end)
    Console().print(shown + body)
