"""`prodmatch plugins`: what is installed, what it brings, and what is wrong with it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from prodmatch_core.cli import hidden_commands, registry_of
from prodmatch_core.cli.options import as_json
from prodmatch_core.cli.plugins_check import check
from prodmatch_core.cli.tables import print_table
from prodmatch_core.plugins import PluginState
from prodmatch_core.records import PART_KINDS, Spec
from prodmatch_core.registry import Registry


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List the installed plugins and their parts.

    Plugins that failed are listed too, with what to do and the lines of their code that failed.
    `prodmatch plugins show NAME` describes one part, `prodmatch plugins check` tests what is installed.
    """
    if ctx.invoked_subcommand is not None:
        return
    registry = registry_of(ctx)
    problems = [*registry.problems(), *hidden_commands(registry)]
    if as_json:
        from prodmatch_core.cli.options import print_json

        print_json(
            {"plugins": [_content(plugin, registry) for plugin in registry.plugins], "problems": problems}
        )
        return
    headers = ["distribution", "version", "entry point", "state", "parts"]
    rows = [
        [p.distribution, p.version, p.entry_point, registry.state(p), _parts_text(p)]
        for p in registry.plugins
    ]
    if not rows:
        click.echo("No plugins are installed, not even the core's own. Reinstall prodmatch-core.")
        return
    print_table(headers, rows)
    for kind in PART_KINDS:
        if names := registry.names(kind):
            click.echo()
            click.echo(_wrapped(f"{kind}: ", ", ".join(names)))
    disabled = [plugin for plugin in registry.plugins if plugin.state == "disabled"]
    traces = {plugin.problem: plugin.trace for plugin in registry.plugins}
    for line in [*(f"{plugin.key}: {plugin.problem}" for plugin in disabled), *problems]:
        click.echo()
        click.echo(line)
        if trace := traces.get(line):
            click.echo(textwrap.indent(trace, "  "))


plugins.add_command(check)


@plugins.command()
@click.argument("name", metavar="NAME")
@as_json
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Describe a part: what it is, how a file names it, its settings, what it needs and gives, where it is defined."""
    from prodmatch_core.partdocs import defined, described

    registry = registry_of(ctx)
    found = [(spec, registry.owner(spec)) for spec in _named(registry, name)]
    parts = [
        {
            **described(spec),
            "distribution": owner.distribution,
            "version": owner.version,
            "module": owner.module,
            "defined": defined(spec.factory),
        }
        for spec, owner in found
    ]
    if as_json:
        from prodmatch_core.cli.options import print_json

        print_json(parts)
        return
    for number, part in enumerate(parts):
        if number:
            click.echo()
        _print_part(part)


def _named(registry: Registry, name: str) -> Iterator[Spec]:
    """Yield the parts of that name, of whatever kind.

    Raises:
        ConfigError: there is none, or it cannot be used; a duplicate names both claimants.
    """
    from prodmatch_core.errors import ConfigError, did_you_mean

    kinds = [kind for kind in PART_KINDS if registry.knows(kind, name)]
    for kind in kinds:
        yield registry.get(kind, name)
    if not kinds:
        if plugin := registry.missing(name):
            raise ConfigError(f'part "{name}" is not available: {plugin.problem}')
        known = sorted({known for kind in PART_KINDS for known in registry.names(kind)})
        raise ConfigError(f'unknown part "{name}"{did_you_mean(name, known)}')


def _content(plugin: PluginState, registry: Registry) -> dict[str, Any]:
    return {
        "distribution": plugin.distribution,
        "version": plugin.version,
        "entry_point": plugin.entry_point,
        "module": plugin.module,
        "state": registry.state(plugin),
        "problem": plugin.problem,
        "trace": plugin.trace,
        "parts": [{"kind": r.kind, "name": r.name, "summary": r.summary} for r in plugin.records],
    }


def _parts_text(plugin: PluginState) -> str:
    counts = Counter(record.kind for record in plugin.records)
    return ", ".join(f"{counts[kind]} {kind}" for kind in PART_KINDS if counts[kind])


def _print_part(part: dict[str, Any]) -> None:
    click.echo(f"{part['name']} ({part['kind']}): {part['summary']}")
    if part["doc"]:
        click.echo(f"\n{textwrap.indent(part['doc'], '  ')}")
    click.echo()
    origin = f"{part['distribution']} {part['version']} ({part['module']}), {part['factory']}"
    place = part["defined"]
    facts = [(title, line) for title in ("needs", "gives") for line in part[title]]
    facts += [(title, part.get(title, "")) for title in ("family", "direction", "bounds", "paper")]
    facts += [("from", origin), ("defined", place)]
    facts += [("exempt", line) for line in part["exempt"]]
    for title, line in facts:
        if line:
            click.echo(f"{title:<10} {line}")
    if part["example"]:
        click.echo(f"\n{textwrap.indent(part['example'], '    ')}")
    for field in part["fields"]:
        click.echo()
        default = f" = {field['default']}" if field["default"] else ""
        click.echo(f"  {field['name']}: {field['type']}{default}".replace(" = required", " (required)"))
        for line in (field["bounds"], field["doc"]):
            if line:
                click.echo(textwrap.indent(textwrap.fill(" ".join(line.split()), 92), "      "))


def _wrapped(title: str, text: str) -> str:
    return textwrap.fill(text, 100, initial_indent=title, subsequent_indent="  ", break_on_hyphens=False)
