"""Hypothesis strategies for files as they come: anything at all, or a good file that something happened to."""

from __future__ import annotations

import gzip

from hypothesis import strategies as st

_BITES = (
    b"",
    b"\n",
    b",",
    b"\t",
    b'"',
    b"\x00",
    b"\xff",
    b"\\",
    b"{",
    b"[",
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 25,
)


@st.composite
def mutated(draw: st.DrawFn, good: bytes) -> bytes:
    """Return `good` with up to three stretches of it replaced, doubled or cut off; at times gzipped."""
    data = good
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        bite = draw(st.one_of(st.sampled_from(_BITES), st.binary(max_size=8)))
        how = draw(st.sampled_from(("replace", "double", "cut")))
        if how == "replace":
            data = data[:start] + bite + data[end:]
        elif how == "double":
            data = data[:end] + data[start:]
        else:
            data = data[:start]
    return gzip.compress(data, mtime=0)[: draw(st.integers(0, 400))] if draw(st.integers(0, 9)) == 0 else data


def broken(good: bytes) -> st.SearchStrategy[bytes]:
    """Return bytes that are arbitrary, or `good` mutated, or `good` itself."""
    return st.one_of(st.just(good), mutated(good), mutated(good), st.binary(max_size=80))


def table(columns: dict[str, st.SearchStrategy[str]], rows: int = 8) -> st.SearchStrategy[bytes]:
    """Return a CSV file with these columns, each cell as its strategy draws it, quoted where need be."""
    cells = st.lists(st.tuples(*columns.values()), max_size=rows)
    return cells.map(lambda drawn: "\n".join(_line(row) for row in [tuple(columns), *drawn]).encode())


def _line(cells: tuple[str, ...]) -> str:
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)


def anything(*likely: str) -> st.SearchStrategy[str]:
    """Return one of the likely cells, or any text that a UTF-8 file can hold."""
    return st.one_of(
        st.sampled_from(likely or ("",)),
        st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=6),
    )
