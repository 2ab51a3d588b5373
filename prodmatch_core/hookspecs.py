"""The whole contract between prodmatch and its plugins. Every hook is optional.

A plugin is a module named by an entry point of the group `prodmatch`. It marks functions with
`prodmatch_core.hookimpl`; each returns an iterable of records:

    from prodmatch_core import hookimpl
    from prodmatch_core.records import LossSpec

    @hookimpl
    def prodmatch_losses():
        yield LossSpec(name="acme.focal", summary="Focal loss.", config=FocalConfig,
                       factory="prodmatch_acme.focal:FocalLoss", needs={"logits"})
"""
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pluggy import HookspecMarker

if TYPE_CHECKING:
    from prodmatch_core import records
    from prodmatch_core.rundir import Run

hookspec = HookspecMarker("prodmatch")


@hookspec
def prodmatch_encoders() -> Iterable[records.EncoderSpec]:
    """Return encoders: parts that turn queries and products into token states or vectors."""


@hookspec
def prodmatch_negative_generators() -> Iterable[records.NegativeGeneratorSpec]:
    """Return negative generators: parts that add training examples that do not match."""


@hookspec
def prodmatch_losses() -> Iterable[records.LossSpec]:
    """Return losses: weighted terms a member descends on."""


@hookspec
def prodmatch_graph_samplers() -> Iterable[records.GraphSamplerSpec]:
    """Return graph samplers: parts that choose which neighbours a graph network reads."""


@hookspec
def prodmatch_aggregators() -> Iterable[records.AggregatorSpec]:
    """Return aggregators: parts that make one prediction out of several members'."""


@hookspec
def prodmatch_calibrators() -> Iterable[records.CalibratorSpec]:
    """Return calibrators: parts that turn predictions into honest probabilities and decisions."""


@hookspec
def prodmatch_datasets() -> Iterable[records.DatasetSpec]:
    """Return data sets and readers of file formats."""


@hookspec
def prodmatch_measures() -> Iterable[records.MeasureSpec]:
    """Return measures of quality, each with its direction."""


@hookspec
def prodmatch_commands() -> Iterable[records.CommandSpec]:
    """Return sub-commands of the `prodmatch` command line."""


@hookspec
def prodmatch_run_started(run: Run) -> None:
    """Hear that `run` starts: its configuration is resolved and its data loaded."""


@hookspec
def prodmatch_epoch_finished(run: Run, member: str, metrics: Mapping[str, float]) -> None:
    """Hear the figures of one finished epoch of a member."""


@hookspec
def prodmatch_run_finished(run: Run, report: Mapping[str, object]) -> None:
    """Hear that `run` is complete; `report` is the content of its `metrics.json`."""


@hookspec
def prodmatch_report_sections(run: Run) -> Iterable[records.Section]:
    """Return sections to add to the report of a finished run."""
