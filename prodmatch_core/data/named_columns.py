"""Our columns and a file's: which are there, which must be, and what to say of those that are not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from prodmatch_core.data.files import RawTable
from prodmatch_core.data.rows import require_columns


def named_columns(
    raw: RawTable, columns: Any, required: Iterable[str], remedy: str, prefix: str = ""
) -> dict[str, str]:
    """Return our name -> the file's name of every column there is.

    Args:
        raw: the file.
        columns: attrs object; each field names the file's column: None for our own name where the file has it,
            "" for none.
        required: our names of columns that must be there unless set to "".
        remedy: what a person can do about a missing one.
        prefix: put before field names that stand in no `columns` object.

    Raises:
        DataError: a column that is required, or was named, is not there.
    """
    required = set(required)
    wanted = {prefix + name: source for name, source in attrs.asdict(columns, recurse=False).items()}
    names = {name: source or name for name, source in wanted.items() if source != ""}
    needed = [
        source for name, source in names.items() if name in required or wanted[name] not in (None, name)
    ]
    require_columns(raw.path, raw.frame.columns, needed, remedy)
    return {name: source for name, source in names.items() if source in raw.frame.columns}
