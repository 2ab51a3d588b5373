"""The command line `prodmatch`: a group whose commands are imported when they are called.

Exit codes: 0 done, 1 the work failed, 2 wrong usage or configuration, 130 interrupted, 141 the reader of the
output went away. Errors go to stderr as text. With `--json` they go to stdout instead, as one object
`{"error": text, "problems": [{"path": ..., "message": ...}]}`, so that a machine reads one stream whatever
happens; `problems` is empty unless the configuration is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

import prodmatch_core
from prodmatch_core.errors import ConfigError, PluginError, ProdmatchError, did_you_mean
from prodmatch_core.records import CommandSpec
from prodmatch_core.registry import Registry, default_registry

INTERRUPTED = 130
"Exit code after Ctrl-C: 128 + SIGINT, as shells have it."
BROKEN_PIPE = 141
"Exit code when the output's reader is gone: 128 + SIGPIPE."


def _core(name: str, summary: str) -> CommandSpec:
    module = name.replace("-", "_")
    return CommandSpec(name=name, summary=summary, factory=f"prodmatch_core.cli.{module}:{module}")


COMMANDS: Mapping[str, CommandSpec] = {
    spec.name: spec
    for spec in (
        _core("run", "Train, evaluate and save the pipeline of FILE."),
        _core("validate", "Check a pipeline file without running anything."),
        _core("show", "Print a pipeline with every default, and draw it."),
        _core("compare", "Compare finished runs, or one pipeline with settings swapped."),
        _core("evaluate", "Measure a ranking file of any system against judgements."),
        _core("score", "Score a file of query-product pairs with a finished run."),
        _core("explain", "Tell why a finished run decides as it does."),
        _core("export", "Write a run's transformers in a smaller, faster form."),
        _core("report", "Render the report of a finished run again."),
        _core("data", "Make, convert and describe data sets."),
        _core("plugins", "List the installed plugins and their parts."),
        _core("new-plugin", "Make a folder with a plugin that works, to start from."),
    )
}
"The core's own commands, records like a plugin's, so that listing them imports none."


class CommandLine(click.Group):
    """The group of the core's commands and the plugins'. A plugin cannot take the name of a core command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands: the core's in reading order, then the plugins'."""
        return [*COMMANDS, *(spec.name for spec in plugin_commands(registry_of(ctx)))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command.

        Raises:
            PluginError: its module cannot be imported, or holds no click command under that name.
            ConfigError: two plugins claim the name, or its plugin failed to load.
        """
        registry = registry_of(ctx)
        if cmd_name not in COMMANDS and cmd_name not in registry.names("command"):
            return None
        spec = COMMANDS.get(cmd_name) or registry.get("command", cmd_name)
        command = spec.load()
        if not isinstance(command, click.Command):
            raise PluginError(f"command {spec.name}: {spec.factory} is no click command; decorate it")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` names, or fail with the nearest name there is."""
        name, registry = args[0], registry_of(ctx)
        known = {*COMMANDS, *registry.names("command")}
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            broken = "\nA plugin failed to load: see `prodmatch plugins`." if registry.problems() else ""
            ctx.fail(f'unknown command "{name}"{did_you_mean(name, known)}{broken}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the one-line help of every command from its record, importing none of them."""
        registry = registry_of(ctx)
        for title, specs in (
            ("Commands", list(COMMANDS.values())),
            ("Commands of plugins", plugin_commands(registry)),
        ):
            if specs:
                with formatter.section(title):
                    formatter.write_dl([(spec.name, spec.summary) for spec in specs])
        if problems := registry.problems():
            count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
            formatter.write_paragraph()
            formatter.write_text(f"{count} with plugins: see `prodmatch plugins`.")

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run the command that `args` names and end the process with its exit code."""
        args = list(sys.argv[1:] if args is None else args)
        prog_name = prog_name or "prodmatch"
        _complete(self, prog_name, complete_var, extra)
        before = args[: args.index("--")] if "--" in args else args
        try:
            with self.make_context(prog_name, args, **extra) as ctx:
                self.invoke(ctx)
            sys.stdout.flush()
            code = 0
        except click.exceptions.Exit as stop:
            code = stop.exit_code
        except BrokenPipeError:
            # What is still buffered would be written, and fail again, when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = BROKEN_PIPE
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            code = INTERRUPTED
        except Exception as error:  # the last stop: everything that is left is shown and has an exit code
            code = _fail(error, as_json="--json" in before)
        sys.exit(code)


def registry_of(ctx: click.Context) -> Registry:
    """Return the registry that the context's `obj` holds, or else that of the installed plugins."""
    return ctx.find_object(Registry) or default_registry()


def plugin_commands(registry: Registry) -> list[CommandSpec]:
    """Return the commands of plugins, without those that take the name of a core command."""
    return [spec for spec in registry.specs("command") if spec.name not in COMMANDS]  # type: ignore[misc]


def hidden_commands(registry: Registry) -> list[str]:
    """Return one line for every plugin command that a core command of the same name hides."""
    return [
        f'command "{spec.name}" of {registry.owner(spec).distribution} has the name of a core command and is '
        "left out. Ask its author to rename it."
        for spec in registry.specs("command")
        if spec.name in COMMANDS
    ]


def _complete(cli: click.Group, prog_name: str, complete_var: str | None, extra: dict[str, Any]) -> None:
    variable = complete_var or f"_{prog_name.replace('-', '_').upper()}_COMPLETE"
    if instruction := os.environ.get(variable):
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(cli, extra, prog_name, variable, instruction))


def _fail(error: Exception, as_json: bool) -> int:
    """Tell the user of an error on the stream machines or people read, and return the exit code."""
    problems: list[dict[str, str]] = []
    if isinstance(error, ProdmatchError):
        text, code = str(error), error.exit_code
        if isinstance(error, ConfigError):
            problems = [{"path": p.path, "message": p.message} for p in error.problems]
    elif isinstance(error, click.ClickException):
        text, code = error.format_message(), error.exit_code
    else:
        import traceback

        code = 1
        text = f"this is a defect in prodmatch or a plugin, please report it: {type(error).__name__}: {error}"
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if as_json:
        import json

        click.echo(json.dumps({"error": text, "problems": problems}, indent=2, ensure_ascii=False))
    elif isinstance(error, click.ClickException):
        error.show()
    else:
        click.echo(text, err=True)
    return code


def _print_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"prodmatch {prodmatch_core.__version__}")
        ctx.exit()


@click.command("prodmatch", cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Match shoppers' queries to products with published methods, each a plugin."""


def main() -> NoReturn:
    """Run the command line of this process."""
    cli.main()
