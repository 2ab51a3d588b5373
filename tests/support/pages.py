"""What documentation pages show, for tests that check or execute it."""

from __future__ import annotations

from pathlib import Path


def documentation(root: Path) -> list[Path]:
    """Return every page of documentation below the repository's root, in order."""
    return sorted([root / "README.md", *(root / "docs").rglob("*.md"), *root.glob("[pc]*/*/README.md")])


def shell_lines(block: str) -> list[str]:
    """Return the lines of a block as a shell reads them: without comments, a line that ends with a backslash goes on."""
    lines = block.replace("\\\n", " ").splitlines()
    return [" ".join(line.partition(" #")[0].split()) for line in lines if line.strip()]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return every indented code block of a page, without its indentation, after the paragraph before it."""
    found: list[tuple[str, str]] = []
    paragraph, fresh = "", True
    block: list[str] = []
    for line in [*page.read_text(encoding="utf-8").splitlines(), "end"]:
        if line.startswith("    ") or (block and not line.strip()):
            block.append(line[4:])
            continue
        if block:
            found.append((paragraph, "\n".join(block).strip() + "\n"))
            block, fresh = [], True
        if not line.strip():
            fresh = True
        else:
            paragraph, fresh = (line if fresh else f"{paragraph} {line}"), False
    return found
