"""Validators for the fields of configuration classes, worded so that an error can say what was expected.

    @attrs.frozen
    class MarginConfig:
        margin: float = attrs.field(default=0.5, validator=unit_interval)
        "Cosine similarity above which a negative pair counts as hard."

The string under a field is its documentation: `prodmatch plugins show` and the reference print it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen
class Expected:
    """A validator that knows in words what it accepts: `a number between 0 and 1`."""

    text: str
    test: Callable[[Any], bool]
    choices: tuple[str, ...] = ()
    "All accepted values, where they can be counted."

    def __call__(self, instance: Any, attribute: attrs.Attribute, value: Any) -> None:
        """Raise ValueError unless `value` passes; the field is named where no path of a file will name it."""
        if not self.test(value):
            where = "" if instance is None else f"{attribute.name}: "
            raise ValueError(f"{where}expected {self.text}, got {show(value)}")


def show(value: Any) -> str:
    """Write a value the way a pipeline file would: text in double quotes, true and false in lower case."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list" if len(value) > 4 else f"[{', '.join(map(show, value))}]"
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def between(low: float, high: float) -> Expected:
    """Accept a number from `low` to `high`, both included."""
    return Expected(f"a number between {low:g} and {high:g}", lambda v: _is_number(v) and low <= v <= high)


def at_least(low: int) -> Expected:
    """Accept a whole number not below `low`."""
    return Expected(
        f"a whole number of at least {low}",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= low,
    )


def one_of(*choices: str) -> Expected:
    """Accept one of the given words."""
    return Expected(f"one of {', '.join(show(c) for c in choices)}", lambda v: v in choices, choices)


def list_of(*choices: str) -> Expected:
    """Accept a list without repetition of some of the given words."""
    return Expected(
        f"a list of different words out of {', '.join(show(c) for c in choices)}",
        lambda v: bool(v) and len(set(v)) == len(v) and set(v) <= set(choices),
    )


unit_interval = between(0, 1)
"A number between 0 and 1."
below_one = Expected("a number of at least 0 and below 1", lambda v: _is_number(v) and 0 <= v < 1)
"A number of at least 0 and below 1: a share that may not be all."
positive = Expected("a number above 0", lambda v: _is_number(v) and v > 0)
"A number above 0."
non_negative = Expected("a number of at least 0", lambda v: _is_number(v) and v >= 0)
"A number of at least 0."
not_empty = Expected("a text that is not empty", lambda v: isinstance(v, str) and bool(v.strip()))
"A text that is not empty."


def expectation(validator: Any) -> str:
    """Return in words what a field's validator accepts, or an empty text where it cannot say."""
    if isinstance(validator, Expected):
        return validator.text
    inner = getattr(validator, "validator", None)  # attrs.validators.optional
    if inner is not None:
        return expectation(inner)
    return " and ".join(
        filter(None, map(expectation, getattr(validator, "_validators", ())))
    )  # and_, or a list


def part(kind: str, **options: Any) -> Any:
    """Declare a field that holds another part, named in the file by `use`: `text: Part = part("encoder")`."""
    return attrs.field(metadata={"kind": kind}, **options)


def field_docs(cls: type) -> dict[str, str]:
    """Return the documentation string under each field of a configuration class, read from its source."""
    import ast
    import inspect
    import textwrap

    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError):  # a class made without a source file has no field documentation
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for statement, following in itertools.pairwise(body):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                docs[statement.target.id] = inspect.cleandoc(following.value.value)
    return docs


PRODUCT_FIELDS = ("title", "description", "bullets", "brand", "color")
"Columns of the products table that hold text, in the order encoders usually read them."
product_fields = list_of(*PRODUCT_FIELDS)
