"""Render the report of a run: one HTML file that needs nothing but a browser."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prodmatch_core.errors import ConfigError
from prodmatch_core.records import Section
from prodmatch_core.rundir import Run
from prodmatch_core.writing import write_text

if TYPE_CHECKING:
    from prodmatch_core.registry import Registry
    from prodmatch_core.sections import PipelineFile


def write_report(run: Run, registry: Registry) -> Path:
    """Render the report of `run` with the sections plugins add to it, write it, and return its path.

    Raises:
        RunError: a file of the run is missing or unreadable, or the report cannot be written.
    """
    sections = []
    for section in registry.announce("prodmatch_report_sections", run=run):
        if isinstance(section, Section):
            sections.append(section)
        else:
            logging.getLogger("prodmatch").warning(
                "prodmatch_report_sections: left out %r; a plugin must return records.Section", section
            )
    path = run.path / "report.html"
    write_text(path, render(run, sections, registry=registry))
    return path


def render(run: Run, sections: Sequence[Section] = (), *, registry: Registry | None = None) -> str:
    """Return the report of a run as one self-contained HTML file.

    The page runs no script and loads nothing; a content security policy in its head makes browsers hold it to
    that, whatever a product title or a section contains.

    Args:
        run: a run directory whose figures are all written.
        sections: what plugins add, before the mistakes.
        registry: the parts to read the resolved pipeline with; the installed plugins' by default.

    Raises:
        RunError: a file of the run is missing or unreadable.
    """
    from prodmatch_core.report.content import context

    return template().render(**context(run, _pipeline(run, registry)), sections=sections)


def _pipeline(run: Run, registry: Registry | None) -> PipelineFile | ConfigError:
    """Return the resolved pipeline, or why it cannot be read: a report outlives the plugins of its run."""
    from prodmatch_core.config import load_pipeline

    try:
        return load_pipeline(run.path / "resolved.toml", registry=registry)
    except ConfigError as error:
        return error


def template(name: str = "report.html") -> Any:
    """Return a template of this room, its filters and its manners in place."""
    import jinja2
    from markupsafe import Markup

    import prodmatch_core
    from prodmatch_core.report import formats

    def printable(value: Any) -> Any:
        return formats.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("prodmatch_core.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for filter_ in (
        "figure",
        "signed",
        "span",
        "count",
        "percent",
        "probability",
        "duration",
        "moment",
        "plural",
    ):
        environment.filters[filter_] = getattr(formats, filter_)
    environment.globals["version"] = prodmatch_core.__version__
    return environment.get_template(name)
