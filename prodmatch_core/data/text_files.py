"""Text files read line by line, plain or gzipped, and what goes wrong with them in words."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from prodmatch_core.errors import DataError


def open_text(path: Path, newline: str | None = None) -> IO[str]:
    """Open a UTF-8 file, unpacked where its name ends in .gz; a byte order mark is left out."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline=newline)
    return path.open(encoding="utf-8-sig", newline=newline)


@contextmanager
def readable(path: Path, expected: str) -> Iterator[None]:
    """Turn what keeps a file from being read into an error that names it and the remedy.

    Args:
        path: the file that is read within the block.
        expected: what the file should be, e.g. `a file of pairs`.

    Raises:
        DataError: the file is missing, a folder, not UTF-8 or damaged, or the disk fails.
    """
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder. Name {expected}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8: {error.reason}. Save the file as UTF-8.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is damaged: {error}. Copy or pack it again.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from None
