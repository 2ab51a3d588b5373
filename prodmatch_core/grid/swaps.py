"""`--swap PATH=VALUE,VALUE,...`: the arms that come of a pipeline by writing other values into it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from prodmatch_core.config import apply_override, steps_of
from prodmatch_core.errors import ConfigError, Problem

ABSENT = "none"
"The value that takes a setting out, where it is not in quotes."
_PAIRS = {"[": "]", "{": "}", "(": ")"}
_LONGEST = 48
"Characters of an arm's name."


@attrs.frozen
class Swap:
    """One setting and the values it takes, as they were written."""

    path: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Swap:
        """Read `PATH=VALUE,VALUE,...`; commas inside quotes and brackets belong to a value.

        Raises:
            ConfigError: there is no path, no second value, an empty one, one twice, or a quote or bracket stays open.
        """
        path, sign, raw = text.partition("=")
        if not sign or not path.strip():
            raise ConfigError(
                f"--swap {text}: expected path=value,value, like member.0.loss.0.use=core.focal,none"
            )
        values = tuple(value.strip() for value in _split(raw, text))
        if "" in values:
            raise ConfigError(
                f"--swap {text}: value {values.index('') + 1} is empty; write '' for an empty text"
            )
        if len(values) < 2:
            raise ConfigError(f"--swap {text}: one value is nothing to compare; add another, or use --set")
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ConfigError(f"--swap {text}: {twice} stands there twice; remove one")
        return cls(path.strip(), values)


def _split(raw: str, text: str) -> Iterator[str]:
    """Yield the values between the commas that are outside quotes and brackets."""
    start, open_, quote, escaped = 0, [], "", False
    for place, letter in enumerate(raw):
        if quote:
            if escaped:
                escaped = False
            elif letter == "\\" and quote == '"':
                escaped = True
            elif letter == quote:
                quote = ""
        elif letter in "\"'":
            quote = letter
        elif letter in _PAIRS:
            open_.append(_PAIRS[letter])
        elif letter in _PAIRS.values():
            if not open_ or open_.pop() != letter:
                raise ConfigError(f"--swap {text}: {letter} closes nothing; quote the value that holds it")
        elif letter == "," and not open_:
            yield raw[start:place]
            start = place + 1
    if quote or open_:
        raise ConfigError(
            f"--swap {text}: {quote or open_[-1]} is missing at the end; close the quote or bracket"
        )
    yield raw[start:]


def parse_swaps(texts: Iterable[str]) -> list[Swap]:
    """Read all swaps.

    Raises:
        ConfigError: everything that is wrong with them.
    """
    swaps: list[Swap] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            swap = Swap.parse(text)
        except ConfigError as error:
            problems += error.problems
            continue
        if any(steps_of(other.path) == steps_of(swap.path) for other in swaps):
            problems.append(
                Problem("", f"--swap {text}: {swap.path} is swapped twice; name all its values in one")
            )
        swaps.append(swap)
    if problems:
        raise ConfigError(problems)
    return swaps


@attrs.frozen
class Variant:
    """One combination of values: an arm that is still to be made."""

    name: str
    "Fit to be a folder."
    choices: tuple[tuple[str, str], ...]
    "(path, value) of every swap."

    def apply(self, tree: dict[str, Any]) -> None:
        """Write the values into a pipeline's tables, in place.

        Raises:
            ConfigError: every value that cannot be written.
        """
        problems: list[Problem] = []
        # What takes out an entry of a list moves those behind it, so it comes last.
        for path, value in sorted(self.choices, key=lambda choice: choice[1] == ABSENT):
            try:
                if value == ABSENT:
                    remove(tree, path)
                else:
                    apply_override(tree, f"{path}={value}", option="--swap")
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems)


def remove(tree: Any, path: str) -> None:
    """Take a setting out of `tree` in place; what is not there needs no taking out.

    Without `use` a part is none: to take out `negatives.use` is to take out `negatives`.
    """
    steps = steps_of(path)
    if steps[-1] == "use" and len(steps) > 1:
        steps = steps[:-1]
    node = tree
    for position, step in enumerate(steps):
        key: Any = step
        if isinstance(node, list):
            if not (step.isascii() and step.isdecimal() and int(step) < len(node)):
                return
            key = int(step)
        elif not isinstance(node, dict):
            return
        elif step not in node:
            if step == "0" and position < len(steps) - 1:  # a table stands for a list of one
                continue
            return
        if position == len(steps) - 1:
            del node[key]
        else:
            node = node[key]


def variants(swaps: Sequence[Swap], default: str) -> list[Variant]:
    """Return all combinations of the values, the last swap changing fastest.

    Args:
        swaps: the settings that are swapped; without any there is one variant.
        default: name of a variant that its values give none.
    """
    found: list[Variant] = []
    taken: set[str] = set()
    for values in itertools.product(*(swap.values for swap in swaps)):
        choices = tuple((swap.path, value) for swap, value in zip(swaps, values, strict=True))
        stem = name = _name(swaps, values) or default
        number = 2
        while name.lower() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.lower())
        found.append(Variant(name, choices))
    return found


def _name(swaps: Sequence[Swap], values: Sequence[str]) -> str:
    """Return what a person would call the arm: the parts chosen, and other settings by their last word."""
    words = []
    for swap, value in zip(swaps, values, strict=True):
        steps = [step for step in steps_of(swap.path) if not step.isdecimal()] or [""]
        part = steps[-2] if steps[-1] == "use" and len(steps) > 1 else steps[-1]
        if value == ABSENT:
            word = f"no-{part}" if len(swaps) > 1 else value
        elif value.startswith("{"):  # a part with its settings
            word = re.sub(r"\buse\s*=", "", value)
        else:
            word = value.strip("\"'")
            word = (
                word if steps[-1] == "use" or steps_of(swap.path)[-1].isdecimal() else f"{steps[-1]}-{word}"
            )
        words.append(re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-."))
    return "+".join(filter(None, words))[:_LONGEST].strip("-.+")
