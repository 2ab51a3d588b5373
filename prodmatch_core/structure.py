"""Turn plain tables (from TOML or JSON) into attrs objects, collecting every problem with its path.

cattrs does the walking; what is ours is the strictness (a text is never silently a number), the words of the
messages, validators for each field before any object is made, and `Part` fields, which look themselves up in
the registry.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
import cattrs
from cattrs.errors import ClassValidationError, IterableValidationError

from prodmatch_core.errors import ConfigError, PluginError, Problem, did_you_mean, with_article
from prodmatch_core.fields import expectation, show
from prodmatch_core.records import Part
from prodmatch_core.registry import Registry

WORDS = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}


class Mismatch(ValueError):
    """One value is not what its place asks for; the place is added while the error travels up."""


class Structurer:
    """Builds attrs objects and the parts nested in them from plain values."""

    def __init__(self, registry: Registry) -> None:
        """Make a converter whose `Part` fields are looked up in `registry`."""
        self.registry = registry
        self.converter = cattrs.Converter(detailed_validation=True, prefer_attrib_converters=False)
        for primitive in WORDS:
            self.converter.register_structure_hook(primitive, _primitive)
        self.converter.register_structure_hook_func(attrs.has, self._attrs_class)
        self.converter.register_structure_hook_func(_is_sequence, self._sequence)
        self.converter.register_structure_hook_func(_is_mapping, self._mapping)
        self.converter.register_structure_hook_func(_is_literal, _literal)
        self.converter.register_structure_hook_func(_is_optional, self._optional)

    def structure(self, value: Any, cls: type, source: str = "") -> Any:
        """Return `value` as an instance of `cls`.

        Raises:
            ConfigError: with every problem found and the path of each.
        """
        try:
            return self.converter.structure(value, cls)
        except (ClassValidationError, IterableValidationError, Mismatch) as error:
            raise ConfigError(problems(error), source) from None

    def part(self, value: Any, kind: str, siblings: Iterable[str] = ()) -> Part:
        """Return the part that the table `value` names by `use`, with its own fields checked.

        `siblings` are keys that belong to the section around the part; an unknown key may be meant for one.
        """
        if not isinstance(value, Mapping):
            raise Mismatch(f'expected a table with use = "...", got {show(value)}')
        if "use" not in value:
            raise Mismatch(f'missing "use": the name of {with_article(kind)}; `prodmatch plugins` lists them')
        if not isinstance(value["use"], str):
            wrong = Mismatch(f"expected the name of {with_article(kind)}, got {show(value['use'])}")
            raise ClassValidationError(kind, [_at("use", wrong)], Part)
        try:
            spec = self.registry.get(kind, value["use"])
        except ConfigError as error:
            raise ClassValidationError(kind, [_at("use", Mismatch(str(error)))], Part) from None
        fields = {key: item for key, item in value.items() if key != "use"}
        return Part(spec, self._attrs_class(fields, spec.config, siblings))

    def _attrs_class(self, value: Any, cls: type, siblings: Iterable[str] = ()) -> Any:
        if not isinstance(value, Mapping):
            raise Mismatch(f"expected a table, got {show(value)}")
        try:
            fields = attrs.fields_dict(attrs.resolve_types(cls))
        except NameError as error:
            raise PluginError(
                f"{cls.__module__}.{cls.__qualname__}: the type of a field cannot be resolved: {error}. "
                "Import the type at run time, not under TYPE_CHECKING."
            ) from None
        sections = [field for field in fields.values() if field.metadata.get("rest")]
        errors: list[Exception] = []
        unknown = [key for key in value if key not in fields]
        values: dict[str, Any] = {}
        if sections:  # a section whose other keys belong to the part it names
            part = sections[0]
            rest = {key: value[key] for key in unknown}
            try:
                values[part.name] = self.part(rest, part.metadata["kind"], fields.keys() - {part.name})
            except (ClassValidationError, IterableValidationError, Mismatch) as error:
                errors.append(error)
            fields = {name: field for name, field in fields.items() if name != part.name}
        else:
            known = {*fields, *siblings}
            errors += [_at(key, Mismatch(f"unknown key{did_you_mean(key, known)}")) for key in unknown]
        for name, field in fields.items():
            if name not in value:
                if field.default is attrs.NOTHING:
                    errors.append(_at(name, Mismatch(f"missing; {_expected(field)} is required")))
                continue
            try:
                values[name] = self._field(value[name], field)
            except (ClassValidationError, IterableValidationError, Mismatch) as error:
                errors.append(_at(name, error))
        if errors:
            raise ClassValidationError(f"{cls.__name__}", errors, cls)
        try:
            return cls(**values)
        except ValueError as error:  # a rule that ties fields together
            raise Mismatch(str(error)) from None

    def _field(self, value: Any, field: attrs.Attribute) -> Any:
        kind = field.metadata.get("kind")
        if kind:
            return self.part(value, kind)
        try:
            result = self.converter.structure(value, field.type or Any)
        except Mismatch:
            if text := expectation(field.validator):  # its words are more exact than the type's
                raise Mismatch(f"expected {text}, got {show(value)}") from None
            raise
        except (ClassValidationError, IterableValidationError):
            raise
        except (ValueError, TypeError, cattrs.errors.StructureHandlerNotFoundError) as error:
            raise Mismatch(
                f"cannot read {show(value)}: {error}"
            ) from None  # a type only cattrs knows, e.g. Path
        if field.validator is not None:
            try:
                field.validator(None, field, result)
            except (ValueError, TypeError) as error:
                raise Mismatch(str(error.args[0] if error.args else error)) from None
            except AttributeError:
                return result  # it reads other fields of the instance: left to `cls(**values)`
        return result

    def _sequence(self, value: Any, cls: Any) -> Any:
        item = typing.get_args(cls)[0]
        if isinstance(value, Mapping) and attrs.has(item):
            value = [value]  # `[member.loss]` is a list of one `[[member.loss]]`
        if not isinstance(value, (list, tuple)):
            raise Mismatch(f"expected a list, got {show(value)}")
        items, errors = [], []
        for index, element in enumerate(value):
            try:
                items.append(self.converter.structure(element, item))
            except (ClassValidationError, IterableValidationError, Mismatch) as error:
                errors.append(_at(index, error))
        if errors:
            raise IterableValidationError("list", errors, list)
        return tuple(items)

    def _mapping(self, value: Any, cls: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Mismatch(f"expected a table, got {show(value)}")
        item = typing.get_args(cls)[1]
        items, errors = {}, []
        for key, element in value.items():
            try:
                items[key] = self.converter.structure(element, item)
            except (ClassValidationError, IterableValidationError, Mismatch) as error:
                errors.append(_at(key, error))
        if errors:
            raise IterableValidationError("table", errors, dict)
        return items

    def _optional(self, value: Any, cls: Any) -> Any:
        choices = [choice for choice in typing.get_args(cls) if choice is not type(None)]
        if value is None:
            return None
        if len(choices) == 1:
            return self.converter.structure(value, choices[0])
        for choice in choices:
            try:
                return self.converter.structure(value, choice)
            except (ClassValidationError, IterableValidationError, Mismatch):
                continue
        raise Mismatch(
            f"expected {' or '.join(WORDS.get(c, 'a list or table') for c in choices)}, got {show(value)}"
        )


def unstructure(value: Any) -> Any:
    """Return attrs objects as plain tables, with every default; the inverse of `Structurer.structure`."""
    if isinstance(value, Part):
        return {"use": value.name, **unstructure(value.config)}
    if attrs.has(type(value)):
        result: dict[str, Any] = {}
        for field in attrs.fields(type(value)):
            plain = unstructure(getattr(value, field.name))
            if field.metadata.get("rest"):
                result = {**plain, **result}
            elif plain is not None:
                result[field.name] = plain
        return result
    if isinstance(value, (list, tuple)):
        return [unstructure(item) for item in value]
    if isinstance(value, Mapping):
        return {key: unstructure(item) for key, item in value.items()}
    return value


def problems(error: BaseException, path: str = "") -> Iterator[Problem]:
    """Flatten the tree of errors that structuring raised into one problem per leaf."""
    step = getattr(error, "step", None)
    if isinstance(step, int):
        path = f"{path}[{step}]"
    elif step is not None:
        path = f"{path}.{step}" if path else step
    if isinstance(error, (ClassValidationError, IterableValidationError)):
        for inner in error.exceptions:
            yield from problems(inner, path)
    else:
        yield Problem(path, str(error))


def _at(step: str | int, error: Exception) -> Exception:
    error.step = step  # type: ignore[attr-defined]
    return error


def _expected(field: attrs.Attribute) -> str:
    if text := expectation(field.validator):
        return text
    if field.metadata.get("kind"):
        return with_article(field.metadata["kind"])
    if _is_sequence(field.type):
        return "a list of tables" if attrs.has(typing.get_args(field.type)[0]) else "a list"
    if _is_mapping(field.type) or (isinstance(field.type, type) and attrs.has(field.type)):
        return "a table"
    return WORDS.get(field.type, "a value") if isinstance(field.type, type) else "a value"


def _primitive(value: Any, cls: type) -> Any:
    if cls is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, cls) or (isinstance(value, bool) and cls is not bool):
        raise Mismatch(f"expected {WORDS[cls]}, got {show(value)}")
    return value


def _is_sequence(cls: Any) -> bool:
    return typing.get_origin(cls) in (list, tuple)


def _is_mapping(cls: Any) -> bool:
    return typing.get_origin(cls) in (dict, Mapping)


def _is_literal(cls: Any) -> bool:
    return typing.get_origin(cls) is typing.Literal


def _literal(value: Any, cls: Any) -> Any:
    choices = typing.get_args(cls)
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        raise Mismatch(f"expected one of {', '.join(map(show, choices))}, got {show(value)}")
    return value


def _is_optional(cls: Any) -> bool:
    return typing.get_origin(cls) in (typing.Union, types.UnionType)
