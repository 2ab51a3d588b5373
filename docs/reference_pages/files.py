"""The pages on the pipeline file and on the checks of the conformance kit."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from prodmatch_core import records, sections, testing
from prodmatch_core.partdocs import fields_of
from reference_pages.markdown import fields_table, head, paragraphs, table

SECTIONS = (
    sections.PipelineSection,
    sections.DataSection,
    sections.SplitConfig,
    sections.Member,
    sections.LossEntry,
    sections.Training,
    sections.Phase,
    sections.AggregatorSection,
    sections.CalibratorSection,
    sections.Evaluation,
)
TITLES = {sections.SplitConfig: "`[data.split]`"}


def pipeline_page() -> Iterator[str]:
    """Yield the lines of the page on the sections of a pipeline file."""
    yield from head("Pipeline file")
    yield 'A TOML file. A part is a table with `use = "<name>"` and its own fields ([parts](parts.md)); where'
    yield "a section *is* a part, both stand in the section. `prodmatch validate FILE` names every problem,"
    yield "`prodmatch show FILE` prints the file with every default."
    for section in SECTIONS:
        title, _, text = paragraphs(section.__doc__).partition(": ")
        title = TITLES.get(section, title)
        yield from ("", f"## {title}", "", text[:1].upper() + text[1:] or paragraphs(section.__doc__), "")
        part = [f for f in attrs.fields(section) if f.metadata.get("rest")]
        if part:
            yield from (
                f"`use` names a part of kind {part[0].metadata['kind']}; its fields stand beside it.",
                "",
            )
        fields = [field for field in fields_of(section) if field.name not in {f.name for f in part}]
        if fields:
            yield from fields_table(fields)


def conformance_page() -> Iterator[str]:
    """Yield the lines of the page on the checks of the conformance kit."""
    yield from (*head("Conformance"), paragraphs(testing.__doc__), "")
    yield "A check has nothing to say of some parts; then it is skipped, with the reason. A part that breaks a law on"
    yield 'purpose declares it in its record, `exempt={"check": "why"}`, and the reason is printed; an exemption that'
    yield "is not needed fails."
    titles = {testing.EVERY_PART: "every part", testing.NODE_ENCODER: "encoder that gives nodes"}
    for kind in (testing.EVERY_PART, testing.NODE_ENCODER, *records.PART_KINDS):
        yield from ("", f"## {titles.get(kind, kind)}", "")
        yield from table(
            ["check", "what it demands"],
            [[f"`{check.id}`", check.demand] for check in testing.checks_of(kind)],
        )
