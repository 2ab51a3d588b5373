"""Bad rows of a file: the first one ends the reading, or all are skipped, counted and listed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import attrs

from prodmatch_core.errors import DataError

LISTED = 20
"How many skipped rows are listed one by one; the others are only counted."


@attrs.frozen
class BadRow:
    """One row that cannot be used, and why."""

    row: int
    "Number of the row as an editor shows it: in a file with a header, the header is row 1."
    column: str
    "The column at fault, or empty where the whole row is."
    reason: str
    "What is wrong, with the value."
    remedy: str = "Correct the row"
    "What a person can do, without a full stop."

    def at(self, path: Path) -> str:
        """Return file, row, column and reason as one phrase."""
        column = f", column {self.column}" if self.column else ""
        return f"{path}, row {self.row}{column}: {self.reason}"


class BadRows:
    """Collects the bad rows of one file, or ends the reading at the first."""

    def __init__(self, path: Path, skip: bool) -> None:
        """Start without any; `skip` is the option `--skip-bad-rows`."""
        self.path = path
        self.skip = skip
        self.found: list[BadRow] = []

    def __len__(self) -> int:
        return len(self.found)

    def report(self, rows: Iterable[BadRow]) -> None:
        """Take note of `rows`.

        Raises:
            DataError: there is one and bad rows are not skipped; the message is about the first in the file.
        """
        rows = list(rows)
        if rows and not self.skip:
            first = min(rows, key=lambda bad: bad.row)
            count = f" Bad rows found: {len(rows)}." if len(rows) > 1 else ""
            raise DataError(
                f"{first.at(self.path)}. {first.remedy}, "
                f"or pass --skip-bad-rows to leave such rows out.{count}"
            )
        self.found += rows

    def notes(self, total: int) -> list[str]:
        """Return what a person should know: how many of `total` rows were skipped, and the first of them."""
        if not self.found:
            return []
        rows = sorted(self.found, key=lambda bad: bad.row)
        lines = [f"{self.path}: {len(rows)} of {total} rows skipped as bad"]
        lines += [f"skipped {bad.at(self.path)}" for bad in rows[:LISTED]]
        if len(rows) > LISTED:
            lines.append(f"skipped {len(rows) - LISTED} more rows of {self.path}")
        return lines
