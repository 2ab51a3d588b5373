"""A process that fits one member.

    python -m prodmatch_core.member_process OUT MEMBER CONTEXT

fits one member of the unfinished run OUT and leaves it in the draft, where the process that runs the pipeline finds it
as a finished stage. It ends when that process does.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from prodmatch_core.data.reading import ReadContext
from prodmatch_core.runner import fit_one
from prodmatch_core.side_by_side import context_of, reason_of


def _end_with_parent() -> None:
    """End this process as soon as the one that started it is gone."""

    def watch() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _main(out: Path, name: str, context: ReadContext) -> int:
    _end_with_parent()
    answer = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints is no answer
    try:
        fit_one(out, name, context)
    except Exception as error:  # whatever a part does, the process that waits is to be told
        os.write(answer, reason_of(error).encode())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), sys.argv[2], context_of(sys.argv[3])))
