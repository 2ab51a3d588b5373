"""`prodmatch new-plugin NAME --kind KIND`: a folder to start from, in which everything works."""

from __future__ import annotations

from pathlib import Path

import click

from prodmatch_core.cli import COMMANDS, registry_of
from prodmatch_core.cli.options import as_json, print_json
from prodmatch_core.records import PART_KINDS


@click.command("new-plugin")
@click.argument("name", metavar="NAME")
@click.option(
    "--kind", required=True, type=click.Choice(list(PART_KINDS)), help="Kind of the part it begins with."
)
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder to put it in; otherwise the current one.",
)
@as_json
@click.pass_context
def new_plugin(ctx: click.Context, name: str, kind: str, into: Path, as_json: bool) -> None:
    """Make a folder with a plugin that works, to start from.

    It holds a part, its tests and a pipeline that uses it. NAME, also the folder's, is lower-case words joined by
    "-", e.g. acme-reranker. Nothing that is there is overwritten.
    """
    from prodmatch_core.errors import ConfigError
    from prodmatch_core.scaffold import NewPlugin, check_name, create

    check_name(name)
    plugin = NewPlugin(name, kind)
    for other in registry_of(ctx).plugins:
        if other.distribution == plugin.distribution or other.entry_point == plugin.point:
            raise ConfigError(
                f'"{name}" is taken by {other.distribution} {other.version}, which is installed. Choose another name.'
            )
    if kind == "command" and plugin.part in COMMANDS:
        raise ConfigError(f'"{plugin.part}" is a command of the core. Choose another name.')
    files = create(plugin, into)
    folder = into / name
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "distribution": plugin.distribution,
                "package": plugin.package,
                "part": plugin.part,
                "files": [str(file) for file in files],
            }
        )
        return
    click.echo(f"{folder}: {plugin.distribution} with the {kind} {plugin.part}")
    for file in files:
        click.echo(f"  {file.relative_to(folder)}")
    click.echo("\nNext:\n")
    for line in (
        f"cd {folder}",
        'pip install -e ".[test]"',
        "pytest",
        *plugin.words["try_it"].split("\n    "),
    ):
        click.echo(f"  {line}")
