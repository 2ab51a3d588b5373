"""Options that several commands share, and the context of reading that they make."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from prodmatch_core.data.reading import ReadContext, SplitConfig

F = TypeVar("F", bound=Callable[..., Any])

as_json: Callable[[F], F] = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
settings: Callable[[F], F] = click.option(
    "--set",
    "settings",
    metavar="PATH=VALUE",
    multiple=True,
    help="Replace one setting, e.g. member.0.training.epochs=3. May be given several times.",
)
data_root: Callable[[F], F] = click.option(
    "--data",
    "data_root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder that data paths start from; otherwise PRODMATCH_DATA, then the pipeline file's folder.",
)
skip_bad_rows: Callable[[F], F] = click.option(
    "--skip-bad-rows", is_flag=True, help="Leave out rows that cannot be read; they are counted and listed."
)
jobs: Callable[[F], F] = click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Members fitted side by side at most, as far as memory goes.",
)
replicates: Callable[[F], F] = click.option(
    "--replicates",
    metavar="N",
    type=click.IntRange(min=100),
    default=1000,
    show_default=True,
    help="Bootstrap resamples of the queries, and random swaps.",
)
level: Callable[[F], F] = click.option(
    "--level",
    metavar="SHARE",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Coverage of the intervals; a p-value of at most 1 - SHARE is clear.",
)
draws_seed: Callable[[F], F] = click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of draws and swaps.",
)
pipeline_file: Callable[[F], F] = click.argument(
    "file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=True)
)


def read_context(
    root: Path | None, base: Path, split: SplitConfig | None = None, skip_bad_rows: bool = False
) -> ReadContext:
    """Return where readers look for files: `root`, else PRODMATCH_DATA, then `base`.

    Raises:
        ConfigError: PRODMATCH_DATA names no folder.
    """
    from prodmatch_core.data.reading import ReadContext, SplitConfig
    from prodmatch_core.errors import ConfigError

    if root is None and (named := os.environ.get("PRODMATCH_DATA")):
        root = Path(named)
        if not root.is_dir():
            raise ConfigError(
                f"PRODMATCH_DATA={named}: is not a folder. Correct the variable, or give --data DIR."
            )
    return ReadContext(root=root, base=base, split=split or SplitConfig(), skip_bad_rows=skip_bad_rows)


def print_json(value: Any) -> None:
    """Print a value as indented JSON; not-a-number becomes null."""
    from prodmatch_core.writing import plain

    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))
