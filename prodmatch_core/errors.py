"""The errors a user may meet. Each says what is wrong, where, what was expected and what to do.

The command line prints the message alone and exits with `exit_code`; a traceback is shown only for
errors that are not in this tree, because those are our defects.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs


class ProdmatchError(Exception):
    """Base of every error that prodmatch raises on purpose."""

    exit_code = 1


class DataError(ProdmatchError):
    """A data file or table cannot be used as it is; the message names file, row, column and remedy."""


class RunError(ProdmatchError):
    """A run could not be finished, or a run directory cannot be read."""


class PluginError(ProdmatchError):
    """A plugin failed to import, or broke the contract of a hook."""


class ConfigError(ProdmatchError):
    """A pipeline file, an option or a command's usage is wrong. Carries every problem, not the first."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem] | str, source: str = "") -> None:
        """Hold `problems`; `source` is the file they were found in."""
        if isinstance(problems, str):
            problems = [Problem("", problems)]
        self.problems = tuple(problems)
        self.source = source
        super().__init__(self.render())

    def render(self) -> str:
        """Return all problems as text, one a line, under the name of the file."""
        lines = [str(problem) for problem in self.problems]
        if not self.source:
            return "\n".join(lines)
        count = f"{len(lines)} problem{'s' if len(lines) != 1 else ''}"
        return "\n".join([f"{self.source}: {count}", *(f"  {line}" for line in lines)])


@attrs.frozen
class Problem:
    """One thing that is wrong in a configuration: where (`member[0].loss[1].margin`) and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def with_article(noun: str) -> str:
    """Return the noun with its indefinite article: `an encoder`, `a loss`."""
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the nearest of `known`, or the whole list when nothing is near."""
    import difflib

    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    if known:
        return f"; known: {', '.join(known)}"
    return ""
