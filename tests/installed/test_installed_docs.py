"""The pages for plugin authors, replayed: what they show is taken from them and done, in an environment of its own."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from environments import Environment
from pages import blocks
from prodmatch_core.scaffold import NewPlugin, create

pytestmark = pytest.mark.slow
COMMANDS = ("prodmatch ", "pip ", "pytest", "cd ")


def shown(page: Path) -> list[tuple[str, str]]:
    """Return what a page asks for, in order: (`run`, command), (path of a file, what it holds), (`replace` or `by`, text)."""
    steps = []
    for paragraph, block in blocks(page):
        if block.startswith(COMMANDS):
            steps += [("run", line) for line in block.splitlines()]
        elif re.search(r"(^|\s)(replace|by)$", paragraph):
            steps += [("in", file) for file in re.findall(r"In `(src/.+?)`", paragraph)]
            steps.append((paragraph.split()[-1], block))
        elif file := re.match(r"`(src/.+?)`", paragraph):
            steps.append((file[1], block))
    return steps


def replay(steps: list[tuple[str, str]], here: Environment, folder: Path) -> list[str]:
    """Do the steps in `folder`, and where `cd` leads, and return what the commands printed."""
    printed, file, old = [], Path(), ""
    for what, text in steps:
        if what == "run" and text.startswith("cd "):
            folder = folder / text.removeprefix("cd ")
        elif what == "run":
            printed.append(here.run(text, folder))
        elif what == "in":
            file = folder / text
        elif what == "replace":
            old = text.strip()
        elif what == "by":
            (line,) = [line for line in file.read_text().splitlines() if line.strip() == old]
            indent = line[: len(line) - len(line.lstrip())]
            new = textwrap.indent(text.rstrip(), indent)
            file.write_text(file.read_text().replace(line, new))
        else:
            (folder / what).write_text(text)
    return printed


def test_first_plugin(tmp_path: Path, author: Callable[[], Environment], repository: Path) -> None:
    printed = replay(shown(repository / "docs/tutorial/first-plugin.md"), author(), tmp_path)
    made, _, first, plugins, before, second, after, run = printed
    assert made.startswith("acme-reranker: prodmatch-acme-reranker with the encoder acme_reranker.words")
    assert " passed" in first and " passed" in second
    assert "prodmatch-acme-reranker" in plugins
    assert "fold_case" not in before
    assert "  fold_case: bool = true\n" in after
    assert re.search(r"^words +0\.\d+ \[", run, re.MULTILINE)


def test_publish_a_plugin(tmp_path: Path, author: Callable[[], Environment], repository: Path) -> None:
    create(NewPlugin("acme-reranker", "measure"), tmp_path)
    steps = shown(repository / "docs/how-to/publish-a-plugin.md")
    printed = replay(steps, author(), tmp_path / "acme-reranker")
    assert len(printed) == 4
    assert re.search(r"\d+ checks of 1 part: \d+ passed", printed[-1])


def test_wrap_a_hugging_face_model(
    tmp_path: Path, author: Callable[[], Environment], repository: Path
) -> None:
    create(NewPlugin("acme-e5", "encoder"), tmp_path)
    here, folder = author(), tmp_path / "acme-e5"
    steps = shown(repository / "docs/how-to/wrap-a-hugging-face-model.md")
    replay([step for step in steps if step[0].startswith("src/")], here, folder)
    pipeline = folder / "pipelines" / "acme_e5.toml"
    pipeline.write_text(pipeline.read_text().replace("acme_e5.words", "acme_e5.towers"))
    here.run("pip install -q -e .", folder)
    commands = [text for what, text in steps if what == "run" and "new-plugin" not in text]
    check, run = commands
    here.run(f"HF_HUB_OFFLINE=1 {check}", folder)
    here.run(SAVED_MODEL, folder)
    here.run(f"HF_HUB_OFFLINE=1 {run.replace('FOLDER', 'model')} --set member.0.training.epochs=1", folder)


SAVED_MODEL = (
    'python -c "from prodmatch_acme_e5.towers import tiny; network, tokenizer = tiny(); '
    "network.save_pretrained('model'); tokenizer.save_pretrained('model')\""
)
"Writes a model made from a config, as one would be downloaded."
