"""The data set that a command line names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prodmatch_core.cli.options import read_context

if TYPE_CHECKING:
    from prodmatch_core.data.dataset import Dataset
    from prodmatch_core.registry import Registry
    from prodmatch_core.sections import DataSection


def read_source(
    source: str, settings: tuple[str, ...], registry: Registry, root: Path | None, skip_bad_rows: bool = False
) -> tuple[Dataset, DataSection]:
    """Read the data set that a command line names: a data set's name, or a TOML file with a [data] table.

    Returns:
        The data set, and the section it was read by.

    Raises:
        ConfigError: the file, the name or a setting is wrong.
        DataError: a file cannot be read.
    """
    from prodmatch_core.config import load_data

    section = load_data(source, settings, registry)
    base = Path(source).parent if source.endswith(".toml") else Path.cwd()
    context = read_context(root, base, section.split, skip_bad_rows)
    return section.part.spec.load()(section.part.config, context), section
