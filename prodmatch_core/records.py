"""The records that hooks return: one small frozen class per kind of part.

A record is lazy. It names a part, says in one line what it is, and carries the configuration class and a
dotted `factory` string; nothing heavy is imported until a run needs the part. `needs` and `gives` let
`validate` check that the parts of a pipeline fit each other before any work starts.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs

from prodmatch_core.errors import PluginError

CAPABILITIES: Mapping[str, str] = {
    # what a data set gives: its tables
    "products": "the data set's products",
    "queries": "the data set's queries",
    "judgements": "labelled query-product pairs",
    "engagements": "typed, counted links between queries and products",
    "groups": "items labelled by group",
    "events": "an event log with conversions",
    # what a task's examples give
    "texts": "texts of what is told apart",
    "pair_texts": "a text on both sides of every example",
    "event_features": "features of every example's event",
    "class_labels": "examples labelled by class",
    "group_labels": "examples labelled by group",
    "directed_edges": "examples that are directed edges between products",
    # what an encoder gives
    "tokens": "token states and masks for each side, before the two sides meet",
    "pairs": "one vector per example, both sides read together",
    "embeddings": "one vector per query and per product, comparable by cosine",
    "nodes": "one vector per graph node",
    "links": "which relations of a graph hold between the nodes of a pair, asked in training",
    "directed": "source vectors on the query side, target vectors on the product side",
    "probabilities": "class probabilities, from a part that fits itself without gradient steps",
    # what the task's head derives from them, or an encoder with a head of its own gives
    "logits": "one score per class and example",
    "similarity": "cosine similarities of the batch's embeddings",
    # what a sampler gives
    "blocks": "sampled neighbourhoods of the batch's nodes",
    # what a task answers with, and measures read
    "classes": "class probabilities of every example",
    "neighbours": "the ranked neighbours of every item",
    # what members and aggregators give
    "out_of_fold": "predictions on training rows by models that did not see them",
    "costs": "what each member's predictions cost, measured",
    "uncertainty": "a number per prediction that says how unsure it is",
}
"The vocabulary of `needs` and `gives`, with the words errors use for them."

_DOTTED = r"[\w.]+:\w+"
_DOTTED_OR_NONE = attrs.validators.matches_re(rf"({_DOTTED})?")

Capabilities = frozenset[str] | Callable[[Any], frozenset[str]]


@attrs.frozen
class NoConfig:
    """The configuration of a part that has no fields."""


def _capabilities(value: Any) -> Capabilities:
    return value if callable(value) else frozenset(value)


def _known(instance: Spec, attribute: attrs.Attribute, value: Capabilities) -> None:
    if not callable(value) and not value <= CAPABILITIES.keys():
        unknown = ", ".join(sorted(value - CAPABILITIES.keys()))
        raise PluginError(
            f"{instance.name}: {attribute.name} names {unknown}; known: {', '.join(CAPABILITIES)}"
        )


@attrs.frozen(kw_only=True)
class Spec:
    """What every kind of part says of itself.

    Attributes:
        name: `<plugin>.<part>` in lower case; the word pipeline files use.
        summary: one line, shown in listings.
        factory: `package.module:Class`, imported only when the part is used.
        config: attrs class with the part's fields, which must import nothing heavy; or, so that listing parts
            need not build it, `package.module:Class`.
        needs: capabilities that must be there for the part to work; or a function of its configuration.
        gives: capabilities the part adds; or a function of its configuration.
        paper: where the method is published, with section or equation.
        example: fields of a small, quick instance of the part, as a pipeline file would write them. The conformance
            kit (`prodmatch_core.testing`) builds the part from it and the reference shows it; a part whose fields
            all have defaults may leave it out.
        exempt: id of a check of the conformance kit that the part breaks on purpose -> why. The kit prints the reason.
    """

    kind: ClassVar[str]
    pattern: ClassVar[str] = r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)+"

    name: str = attrs.field()
    summary: str
    factory: str = attrs.field(validator=attrs.validators.matches_re(_DOTTED))
    _config: type | str = attrs.field(default=NoConfig)
    needs: Capabilities = attrs.field(default=frozenset(), converter=_capabilities, validator=_known)
    gives: Capabilities = attrs.field(default=frozenset(), converter=_capabilities, validator=_known)
    paper: str = ""
    example: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    exempt: Mapping[str, str] = attrs.field(factory=dict, hash=False)

    @name.validator
    def _check_name(self, attribute: attrs.Attribute, value: str) -> None:
        if not re.fullmatch(self.pattern, value):
            raise PluginError(
                f'{self.kind} "{value}": a name is <plugin>.<part>, lower case, like "tcm.margin"'
            )

    @_config.validator
    def _check_config(self, attribute: attrs.Attribute, value: Any) -> None:
        if isinstance(value, str):
            if not re.fullmatch(_DOTTED, value):
                raise PluginError(f'{self.kind} {self.name}: config "{value}" is not package.module:Class')
        elif not isinstance(value, type) or not attrs.has(value):
            raise PluginError(f"{self.kind} {self.name}: config must be an attrs class, got {value!r}")

    @property
    def config(self) -> type:
        """Return the configuration class, imported where the record names it.

        Raises:
            PluginError: it cannot be imported, or is no attrs class.
        """
        if isinstance(self._config, type):
            return self._config
        config = self._import(self._config)
        if not isinstance(config, type) or not attrs.has(config):
            raise PluginError(f"{self.kind} {self.name}: config must be an attrs class, got {config!r}")
        return config

    def needs_of(self, config: Any) -> frozenset[str]:
        """Return what the part needs when configured by `config`."""
        return self.needs(config) if callable(self.needs) else self.needs

    def gives_of(self, config: Any) -> frozenset[str]:
        """Return what the part gives when configured by `config`."""
        return self.gives(config) if callable(self.gives) else self.gives

    def load(self) -> Any:
        """Import and return the factory.

        Raises:
            PluginError: the module fails to import, in whatever way, or has no such attribute.
        """
        return self._import(self.factory)

    def _import(self, dotted: str) -> Any:
        module, _, attribute = dotted.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:  # a missing shared library raises OSError, a broken module anything
            raise PluginError(
                f"{self.kind} {self.name}: cannot load {dotted}: {type(error).__name__}: {error}. "
                "Reinstall the distribution that provides it; `prodmatch plugins` names it."
            ) from error


class EncoderSpec(Spec):
    """An encoder: turns queries and products into vectors (`components.encoder`)."""

    kind: ClassVar[str] = "encoder"


class NegativeGeneratorSpec(Spec):
    """A negative generator: adds or overwrites training examples (`components.negatives`)."""

    kind: ClassVar[str] = "negative-generator"


class LossSpec(Spec):
    """A loss: turns an Output into one number to descend on (`components.loss`)."""

    kind: ClassVar[str] = "loss"


class GraphSamplerSpec(Spec):
    """A graph sampler: picks the neighbourhoods a graph network reads (`components.sampler`)."""

    kind: ClassVar[str] = "graph-sampler"


class AggregatorSpec(Spec):
    """An aggregator: makes one prediction out of the members' (`components.aggregator`)."""

    kind: ClassVar[str] = "aggregator"


@attrs.frozen(kw_only=True)
class CalibratorSpec(Spec):
    """A calibrator: makes probabilities honest and decisions precise (`components.calibrator`).

    Attributes:
        monotone: whether, of two classes, a greater stated P(match) is never calibrated to a smaller one.
    """

    kind: ClassVar[str] = "calibrator"

    monotone: bool = False


@attrs.frozen(kw_only=True)
class DatasetSpec(Spec):
    """A data set or reader: `factory(config, context) -> Dataset` (`data.dataset`, `data.reading`).

    Attributes:
        labels: the labels its judgements will have, best match first, as a function of its configuration; None
            where only reading tells. Lets `validate` check what depends on them.
        writer: `package.module:function` of `(config, folder, overwrite) -> None`, for data that can be written
            as a canonical folder without being held in memory; `prodmatch data make` prefers it.
        sample: `package.module:function` of `(folder) -> None`, which writes a tiny set of the files the part reads,
            under the paths that `example` and the defaults name. Without it the part reads no file.
    """

    kind: ClassVar[str] = "dataset"

    labels: Callable[[Any], tuple[str, ...]] | None = None
    writer: str = attrs.field(default="", validator=_DOTTED_OR_NONE)
    sample: str = attrs.field(default="", validator=_DOTTED_OR_NONE)

    def load_writer(self) -> Any:
        """Import and return the writer, None where there is none.

        Raises:
            PluginError: the module fails to import, or has no such attribute.
        """
        return self._import(self.writer) if self.writer else None

    def load_sample(self) -> Any:
        """Import and return what writes a tiny set of the files, None where there is none.

        Raises:
            PluginError: the module fails to import, or has no such attribute.
        """
        return self._import(self.sample) if self.sample else None


@attrs.frozen(kw_only=True)
class MeasureSpec(Spec):
    """A measure: `factory(evaluated) -> statistic`, with the direction that is better (`evaluation`).

    A name that ends in `@k` is a family: `ndcg@k` is there for every whole k from 1, as `ndcg@20`, and its factory
    takes `k` as a further argument.

    Attributes:
        direction: `higher` or `lower`, whichever is better.
        reads: `predictions`, as above, or `ranking`: `factory(ranked) -> values`, one per query
            (`evaluation.ranked`); such a measure works on run files of any system too.
        bounds: the values it can have, lowest and highest; predictions without a fault reach the better one.
        k: the cut-off of a family's member, set by `at`.
    """

    kind: ClassVar[str] = "measure"
    pattern: ClassVar[str] = r"[a-z][a-z0-9_.]*(@([0-9]+%?|k))?"

    direction: str = attrs.field(validator=attrs.validators.in_(("higher", "lower")))
    reads: str = attrs.field(
        default="predictions", validator=attrs.validators.in_(("predictions", "ranking"))
    )
    bounds: tuple[float, float] | None = None
    k: int | None = None

    @property
    def family(self) -> bool:
        """Return whether the record stands for a measure at every k."""
        return self.name.endswith("@k")

    def at(self, k: int) -> MeasureSpec:
        """Return the member of the family whose cut-off is k, from 1."""
        return attrs.evolve(self, name=f"{self.name.removesuffix('k')}{k}", k=k)

    def load(self) -> Any:
        """Import and return the measure of predictions, its k bound."""
        if self.reads == "predictions":
            return self._bound()
        return pkgutil.resolve_name("prodmatch_core.evaluation.ranking:over_queries")(self._bound())

    def load_ranking(self) -> Any:
        """Import and return the measure as a function of a `Ranked`, its k bound.

        Raises:
            PluginError: it reads predictions, or cannot be imported.
        """
        if self.reads != "ranking":
            raise PluginError(f"measure {self.name}: reads class predictions, not a ranking")
        return self._bound()

    def _bound(self) -> Any:
        factory = self._import(self.factory)
        return factory if self.k is None else functools.partial(factory, k=self.k)


class CommandSpec(Spec):
    """A sub-command of `prodmatch`: the factory is a click command."""

    kind: ClassVar[str] = "command"
    pattern: ClassVar[str] = r"[a-z][a-z0-9-]*"


@attrs.frozen
class Part:
    """A part chosen by a pipeline file: its record and its own configuration, checked."""

    spec: Spec
    config: Any

    @property
    def name(self) -> str:
        """Return the part's name, the word after `use`."""
        return self.spec.name

    @property
    def needs(self) -> frozenset[str]:
        """Return what this part, so configured, needs."""
        return self.spec.needs_of(self.config)

    @property
    def gives(self) -> frozenset[str]:
        """Return what this part, so configured, gives."""
        return self.spec.gives_of(self.config)


@attrs.frozen(kw_only=True)
class Section:
    """One section of a report. `html` is a fragment the section's author has escaped."""

    title: str
    html: str
    note: str = ""
    "One line under the title that says how to read the section."


PART_KINDS: Mapping[str, type[Spec]] = {
    spec.kind: spec
    for spec in (
        EncoderSpec,
        NegativeGeneratorSpec,
        LossSpec,
        GraphSamplerSpec,
        AggregatorSpec,
        CalibratorSpec,
        DatasetSpec,
        MeasureSpec,
        CommandSpec,
    )
}
"kind -> record class, in the order listings use."
