"""One writer at a time: a lock that ends with the process that holds it, however that process ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prodmatch_core.errors import RunError


class HeldError(RunError):
    """Another process holds the lock."""


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs, and remove it afterwards.

    The kernel gives the lock back when the process dies, by SIGKILL too, so a lock file that was left behind is no
    obstacle. Where the system has no such locks, none is taken.

    Args:
        path: the lock file; its folder exists.
        what: what is being written, named in the error.

    Raises:
        HeldError: another process holds the lock.
        RunError: the file cannot be made.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RunError(f"{path}: cannot be made: {error.strerror}. Choose another --out.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise HeldError(
                f"{what}: is being written by another run (process {holder}). Wait for it, stop it, or choose another "
                "--out."
            ) from None
        if _is(path, handle):
            break
        os.close(handle)  # its former holder removed the file between opening and locking
    try:
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _is(path: Path, handle: int) -> bool:
    """Tell whether the file that is open is still the one under that name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
