"""The navigation of the site: the lists of docs/README.md, and of the pages it links to that are lists themselves.

MkDocs calls the functions `on_...` while it builds. So a page is in the navigation where a reader of the repository
finds it too, and there is no second list to keep. A page that no list names stays outside, which stops the build.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

START = "README.md"
LISTS = ("reference/hooks.md", "reference/parts.md", "adr/README.md")
"Pages that list further pages."
_LINE = re.compile(
    r"(?P<level>#{2,3}) (?P<heading>.+)|(?:- |\| )\[(?P<title>[^]]+)\]\((?P<target>[^)#:]+\.md)\)"
)
_CODE = re.compile(r"`[^`]+`")
_INTERVAL = re.compile(r"\[([-+\d.,%]+), ([-+\d.,%]+)\]")


def on_config(config: Any) -> Any:
    """Set the navigation."""
    config.nav = [{"Start": START}, *navigation(Path(config.docs_dir), START)]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Say what a page shows beside its text, and mend what GitHub and Python-Markdown read differently."""
    if page.file.src_uri == START:
        page.meta["hide"] = ["navigation"]
    elif page.file.src_uri.startswith("reference/parts/"):
        page.meta["hide"] = ["toc"]  # a page with one heading; the tables take the room
    return "\n".join(_row(line) if line.startswith("| ") else line for line in markdown.splitlines())


def _row(line: str) -> str:
    """Return a row of a table with plain `|` in code, which only GitHub wants escaped, and intervals on one line."""
    line = _CODE.sub(lambda code: code[0].replace(r"\|", "|"), line)
    return _INTERVAL.sub(r"[\1,&nbsp;\2]", line)


def navigation(docs: Path, page: str) -> list[Any]:
    """Return what the lists of `page` name, in order: {title: path of a page}, {heading: what stands under it}."""
    found: list[Any] = []
    places = {1: found}
    for match in map(_LINE.match, (docs / page).read_text(encoding="utf-8").splitlines()):
        if match is None:
            continue
        if heading := match["heading"]:
            level, inner = len(match["level"]), []
            places[max(known for known in places if known < level)].append({heading: inner})
            places = {known: place for known, place in places.items() if known < level} | {level: inner}
        else:
            target = (Path(page).parent / match["target"]).as_posix()
            whole = [{"Overview": target}, *navigation(docs, target)] if target in LISTS else target
            places[max(places)].append({match["title"].strip("`"): whole})
    return [{title: _plain(inner)} for entry in found for title, inner in entry.items() if inner != []]


def _plain(inner: Any) -> Any:
    """Return what stands under a heading; a list of pages that stands there alone is what the heading is about."""
    if not isinstance(inner, list):
        return inner
    kept = [{title: _plain(below)} for entry in inner for title, below in entry.items() if below != []]
    only = next(iter(kept[0].values())) if len(kept) == 1 else None
    return only if isinstance(only, list) else kept
