"""Configuration of the reader of canonical folders. Imports nothing heavy."""

from __future__ import annotations

import attrs

from prodmatch_core.fields import not_empty


@attrs.frozen
class FolderConfig:
    """A folder that prodmatch wrote: one Parquet file a table, and `dataset.toml`."""

    path: str = attrs.field(validator=not_empty)
    "Folder under the data folder or beside the pipeline file."
