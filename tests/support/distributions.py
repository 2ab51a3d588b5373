"""Distributions: those of the repository, and made ones as an installer leaves them, a package beside its `.dist-info`."""

from __future__ import annotations

import textwrap
from pathlib import Path


def distributions(repository: Path) -> list[Path]:
    """Return the folders of the repository's distributions beside the core."""
    return sorted(file.parent for file in repository.glob("[pc]*/*/pyproject.toml"))


def lay_out(
    folder: Path, name: str, plugin: str, version: str = "0.3", requires: str = "prodmatch-core>=0.1,<0.2"
) -> Path:
    """Put the distribution `name` into `folder`, with `plugin` as the source of its plugin module; return that file."""
    package = name.replace("-", "_")
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").touch()
    file = folder / package / "plugin.py"
    file.write_text(textwrap.dedent(plugin).lstrip(), encoding="utf-8")
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: {requires}\n\n"
    )
    (info / "entry_points.txt").write_text(
        f"[prodmatch]\n{package.removeprefix('prodmatch_')} = {package}.plugin\n"
    )
    return file
