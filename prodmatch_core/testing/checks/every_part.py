"""What a part of any kind must do."""

from __future__ import annotations

import ast
import inspect
import tomllib
from typing import Any

import attrs

from prodmatch_core import sections
from prodmatch_core.config import to_toml
from prodmatch_core.errors import ConfigError, ProdmatchError
from prodmatch_core.fields import field_docs, part
from prodmatch_core.records import Part
from prodmatch_core.structure import Structurer, unstructure
from prodmatch_core.testing.answers import Answer, difference
from prodmatch_core.testing.global_state import restored, seed_all, states
from prodmatch_core.testing.kit import EVERY_PART, checks_of, family_of
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.subject import Subject

SECTIONS = (sections.DataSection, sections.LossEntry, sections.AggregatorSection, sections.CalibratorSection)
"Sections of a pipeline file that are a part and have keys of their own beside the part's."


def check_factory_keeps_its_contract(subject: Subject) -> None:
    """The factory can be imported and is what parts of its kind are: a class of the contract's, or a function."""
    contract, factory = subject.bench.contract, subject.factory
    names = " or ".join(base.__name__ for base in contract)
    if not contract and not callable(factory):
        raise Nonconformance(f"{subject.spec.factory} is not a function. Name a function in `factory`.")
    if contract and not (
        isinstance(factory, contract) or (isinstance(factory, type) and issubclass(factory, contract))
    ):
        raise Nonconformance(f"{subject.spec.factory} is no {names}. Derive it from that class.")
    if missing := sorted(getattr(factory, "__abstractmethods__", ())):
        raise Nonconformance(
            f"{subject.spec.factory} leaves out what a {names} must have: {', '.join(missing)}. Write the methods."
        )


def check_fields_are_documented(subject: Subject) -> None:
    """Every field of the configuration has a string under it that says what it is; listings print it."""
    config = subject.spec.config
    docs = field_docs(config)
    if silent := [field.name for field in attrs.fields(config) if not docs.get(field.name)]:
        raise Nonconformance(
            f"{config.__name__} does not say what {', '.join(silent)} is. Put a string under the field."
        )


def check_fields_are_not_the_sections(subject: Subject) -> None:
    """No field is called like a key of the section it would stand in: the section would take it."""
    taken = {"use"}
    for section in SECTIONS:
        fields = attrs.fields(section)
        if any(
            field.metadata.get("rest") and field.metadata["kind"] == subject.spec.kind for field in fields
        ):
            taken |= {field.name for field in fields if not field.metadata.get("rest")}
    for field in attrs.fields(subject.spec.config):
        if field.name in taken:
            raise Nonconformance(
                f"the field {field.name} can never be set: {field.name} is a key of the section around the "
                "part. Call it something else."
            )


def check_config_round_trips(subject: Subject) -> None:
    """The configuration, written as a pipeline file with every default, reads back to an equal one."""
    text = to_toml({"part": unstructure(subject.part)})
    try:
        again = _read(subject, tomllib.loads(text)["part"])
    except ConfigError as error:
        raise Nonconformance(
            f"the configuration, written out, cannot be read again: {error}. Use fields of plain types."
        ) from None
    if again != subject.part:
        changed = [
            field.name
            for field in attrs.fields(type(subject.config))
            if getattr(again.config, field.name) != getattr(subject.config, field.name)
        ]
        raise Nonconformance(
            "the configuration changes when it is written out and read: "
            f"{', '.join(changed) or 'it is never equal'}. Keep what the file says in the fields, and derive "
            "other values from them in properties."
        )


def check_unknown_key_is_refused(subject: Subject) -> None:
    """A key that is no field of the part is refused by its own name."""
    plain = {**unstructure(subject.part), "no_such_field": 1}
    try:
        _read(subject, plain)
    except ConfigError as error:
        if any(problem.path.endswith("no_such_field") for problem in error.problems):
            return
        found = "; ".join(str(problem) for problem in error.problems)
        raise Nonconformance(
            f"an unknown key is answered with: {found}. Let the structurer refuse it."
        ) from None
    raise Nonconformance(
        "an unknown key is taken without a word. Do not take fields the class does not declare."
    )


def check_exemptions_are_of_checks(subject: Subject) -> None:
    """Whatever the record declares itself exempt from is a check, and every reason is given in words."""
    known = {check.id for kind in (EVERY_PART, family_of(subject.spec)) for check in checks_of(kind)}
    for name, reason in subject.spec.exempt.items():
        if name not in known:
            raise Nonconformance(
                f'exempt names "{name}", which is no check of a {subject.spec.kind}. Correct or remove it.'
            )
        if len(reason.split()) < 3:
            raise Nonconformance(
                f"exempt gives no reason for {name}. Say in a sentence why the part breaks it."
            )


def check_same_seed_same_answer(subject: Subject) -> None:
    """Built and asked twice with the same seed, the part answers the same to the last bit."""
    first, second = (_answer(subject) for _ in range(2))
    if apart := difference(first, second):
        raise Nonconformance(
            f"the same seed gives answers that differ by {apart:.3g}. Take every random number from the "
            "generator given."
        )


def check_global_random_state_is_left_alone(subject: Subject) -> None:
    """Neither building nor asking the part reads or changes the random state of `random`, NumPy or torch.

    Initial weights are the exception: they come from torch's generator, which is seeded around `build`.
    """
    with restored():
        first, second = (_answer_from(subject, state) for state in (1, 2))
        if not difference(first, second):
            return
        if difference(first, _answer_from(subject, 1)):
            raise Skipped("the part breaks same_seed_same_answer, so that its answers cannot be compared")
    raise Nonconformance(
        "the part's answer depends on the random state of the process. Take random numbers from the generator given."
    )


def check_nothing_is_answered_or_refused_in_words(subject: Subject) -> None:
    """Asked about no rows, the part answers with none, or says in words what it misses."""
    try:
        subject.bench.ask_nothing(subject, subject.made)
    except (ProdmatchError, ValueError) as error:
        if len(str(error).split()) < 4:
            raise Nonconformance(
                f'asked about no rows, the part says "{error}". Say what was expected, and what to do.'
            ) from error
    except Skipped:
        raise
    except Exception as error:
        raise Nonconformance(
            f"asked about no rows, the part fails with {type(error).__name__}: {error or 'a wrong answer'}. "
            "Answer with no rows, or raise a DataError that says what is missing."
        ) from error


def check_module_of_record_is_light(subject: Subject) -> None:
    """The module of the configuration class imports nothing heavy at its top: listing parts must stay quick."""
    config = subject.spec.config
    try:
        tree = ast.parse(inspect.getsource(inspect.getmodule(config)))  # type: ignore[arg-type]
    except (OSError, TypeError):
        raise Skipped(f"the source of {config.__module__} cannot be read") from None
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        if heavy := [name for name in names if name.partition(".")[0] in HEAVY]:
            raise Nonconformance(
                f"{config.__module__}, which holds the configuration class, imports {heavy[0]}. Keep "
                "configuration classes in a module that imports nothing heavy."
            )


HEAVY = frozenset(
    {
        "accelerate", "dgl", "lightgbm", "matplotlib", "numba", "numpy", "pandas", "polars", "scipy", "sklearn",
        "tokenizers", "torch", "transformers",
    }
)  # fmt: skip
"What takes too long to import for a command that only looks."


def _read(subject: Subject, plain: dict[str, Any]) -> Part:
    holder = attrs.make_class("Holder", {"part": part(subject.spec.kind)}, frozen=True)
    return Structurer(subject.registry).structure({"part": plain}, holder).part


def _answer(subject: Subject) -> Answer:
    bench = subject.bench
    return bench.ask(subject, bench.build(subject, 0), 0)


def _answer_from(subject: Subject, state: int) -> Answer:
    """Return the part's answer where the process's generators were seeded with `state`.

    Raises:
        Nonconformance: they are not as they were afterwards.
    """
    seed_all(state)
    before = states()
    answer = _answer(subject)
    if changed := [name for name, now in states().items() if now != before[name]]:
        raise Nonconformance(
            f"the part changes the random state of {' and '.join(changed)}. Take random numbers from the generator "
            "given, and make other generators with a seed drawn from it."
        )
    return answer
