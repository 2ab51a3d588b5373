"""The page on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from prodmatch_core.cli import cli, plugin_commands
from prodmatch_core.registry import Registry
from reference_pages.markdown import head, paragraphs, table


def cli_page(registry: Registry) -> Iterator[str]:
    """Yield the lines of the page on the command line."""
    import prodmatch_core.cli

    yield from (*head("Command line"), paragraphs(prodmatch_core.cli.__doc__), "")
    root = click.Context(cli, info_name="prodmatch", obj=registry, **cli.context_settings)
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        assert command is not None
        yield from _command(command, click.Context(command, parent=root, info_name=name), 2)
    owners = {spec.name: registry.owner(spec).distribution for spec in plugin_commands(registry)}
    if owners:
        yield from ("", "Of plugins: " + ", ".join(f"`{n}` ({who})" for n, who in owners.items()) + ".")


def _command(command: click.Command, ctx: click.Context, level: int) -> Iterator[str]:
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    yield from (f"{'#' * level} {ctx.command_path}", "", "```", usage, "```", "")
    yield from (inspect.cleandoc(command.help or ""), "")
    rows = [
        [f"`{', '.join(param.opts)}{_metavar(param)}`", param.help or ""]
        for param in command.params
        if isinstance(param, click.Option)
    ]
    if rows:
        yield from (*table(["option", "meaning"], rows), "")
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _command(inner, click.Context(inner, parent=ctx, info_name=name), level + 1)


def _metavar(option: click.Option) -> str:
    return "" if option.is_flag else f" {option.metavar or 'VALUE'}"
