"""Every command that a page shows is typed as it stands, on small data: a page's commands in their order, in one folder.

What is small is said below: pipelines are cut, files are made, a word such as ID is filled in. Commands that are not typed
here stand in LEFT_OUT with the reason.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from pages import blocks
from prodmatch_core.cli import cli
from prodmatch_core.config import load_pipeline
from prodmatch_core.testing import samples
from prodmatch_core.testing.worlds import judged_pairs

ROOT = Path(__file__).parents[2]
SAMPLES = (
    samples.crowdflower,
    samples.homedepot,
    samples.esci,
    samples.wands,
    samples.magellan,
    samples.shopee,
)
LEFT_OUT = {
    "needs the 2.6 million judgements of the great shop": r"size=2600000",
    "needs exported members; tests/serving types it": r"prodmatch export|onnx-int8",
    "needs a distribution to be installed; tests/installed types it": (
        r"plugins check prodmatch-acme|plugins check acme|plugins show acme|acme[.\-_]|maxsim"
    ),
    "needs a real data set of minutes; its pipeline file is checked": (
        r"(esci|wands|amazon_google|homedepot\w*)\.toml|core\.edges --set path=graph|runs/shopee|core\.shopee"
    ),
    "needs a run of trees over members; prodmatch-ensemble's tests type it": r"prodmatch extend",
    "needs runs that the page only speaks of": (
        r"runs/(next|listings|with|without|one-threshold|shop-next)\b|next\.toml|listings\.toml|one\.toml"
    ),
}
ENCODERS = {"generate-hard-negatives.md": "quarts.attention"}
"Encoder that a page speaks of where it shows no whole pipeline."


def shown(page: Path) -> list[list[str]]:
    """Return the words of a page's commands, in order; a line that ends with a backslash goes on."""
    text = "\n".join(block for _, block in blocks(page)).replace("\\\n", " ")
    lines = (re.sub(r"^\.venv/bin/", "", line.partition(" #")[0]).strip() for line in text.splitlines())
    return [shlex.split(line) for line in lines if line.startswith("prodmatch ")]


def reason(words: list[str]) -> str:
    """Return why a command is left out, or nothing."""
    line = shlex.join(words)
    return next((why for why, pattern in LEFT_OUT.items() if re.search(pattern, line)), "")


PAGES = [
    page
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("[pc]*/*/README.md")])
    if any(not reason(words) for words in shown(page)) and "adr" not in page.parts
]


def small(file: str) -> list[str]:
    """Return the words that cut a pipeline file to seconds."""
    pipeline = load_pipeline(Path(file))
    settings = ["evaluation.replicates=100"]
    if pipeline.data.part.name == "shop.synthetic":
        settings.append("data.size=300")
    for number, member in enumerate(pipeline.member):
        if member.training.phase and member.training.phase[0].name != "train":
            places = range(len(member.training.phase))
            settings += [f"member.{number}.training.phase.{place}.epochs=1" for place in places]
        settings.append(f"member.{number}.training.epochs=1")
        if member.negatives is not None and member.negatives.name == "quarts.variational":
            settings += [f"member.{number}.negatives.{field}" for field in ("tuples=60", "epochs=1")]
    if pipeline.aggregator is not None and pipeline.aggregator.part.name.startswith("ensemble."):
        settings.append("aggregator.rounds=20")
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of the first pipeline, cut, which several pages explain."""
    out = tmp_path_factory.mktemp("first") / "run"
    file = str(ROOT / "pipelines" / "first.toml")
    done = CliRunner().invoke(cli, ["run", file, "--out", str(out), "--quiet", *small(file)])
    assert done.exit_code == 0, done.output
    return out


def prepared(page: Path, folder: Path, first: Path) -> None:
    """Put into a folder what a reader of a page is taken to have."""
    for name in ("pipelines", "plugins", "contrib"):
        (folder / name).symlink_to(ROOT / name)
    for sample in SAMPLES:
        sample(folder / "DIR")
    rows = _judged()
    for place in (folder, folder / "DIR"):
        _csv(place / "judged.csv", ["search_term", "product_title", "grade"], rows)
        graded = [(query, title, 1 + 3 * grade) for query, title, grade in rows]
        graded[::5] = [(query, title, 2 + grade // 4) for query, title, grade in graded[::5]]
        text = "search_term,product_title,grade\n" + "".join(f"{q},{t},{g}\n" for q, t, g in graded)
        (place / "judged.csv.gz").write_bytes(gzip.compress(text.encode()))
    pairs = pl.DataFrame({"query": [q for q, _, _ in rows[:40]], "title": [t for _, t, _ in rows[:40]]})
    pairs.write_csv(folder / "pairs.csv")
    pairs.write_parquet(folder / "pairs.parquet")
    samples.events(folder)
    (folder / "events.csv").rename(folder / "clicks.csv")
    for name in ("first", "mine", "other"):
        shutil.copytree(first, folder / "runs" / name)
    samples.canonical(folder)
    for name in ("run.trec", "qrels.trec"):
        shutil.copy(first / name, folder / name)
    shutil.copy(first / "run.trec", folder / "other.trec")
    _pipelines(page, folder)


def _pipelines(page: Path, folder: Path) -> None:
    """Write the pipelines of a page under the names that its commands use, the first under all that are left."""
    tables = [block for _, block in blocks(page) if block.startswith("[pipeline]")]
    names = dict.fromkeys(
        word for words in shown(page) for word in words if re.fullmatch(r"[a-z]+\.toml", word)
    )
    if not tables:
        readme = [block for _, block in blocks(ROOT / "README.md") if block.startswith("[pipeline]")]
        tables = readme
    for name, table in itertools.zip_longest(names, tables[: len(names)], fillvalue=tables[0]):
        if name and name != "member.toml":
            text = table.partition("\nprodmatch ")[0]
            if page.name in ENCODERS:
                text = text.replace("core.ngram", ENCODERS[page.name])
            (folder / name).write_text(text, encoding="utf-8")


def _judged() -> list[tuple[str, str, int]]:
    data = judged_pairs()
    assert data.judgements is not None and data.queries is not None and data.products is not None
    table = data.judgements.join(data.queries.select("query_id", "text"), on="query_id")
    table = table.join(data.products.select("product_id", "title"), on="product_id")
    match = pl.col("label") == "match"
    return table.select("text", "title", match.cast(pl.Int64)).rows()


def _csv(path: Path, names: list[str], rows: list[tuple[str, str, int]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([names, *rows])


def typed(words: list[str], folder: Path) -> list[str]:
    """Return a command's words with what a reader fills in, and cut."""
    pair = (
        pl.read_parquet(folder / "runs" / "first" / "predictions.parquet")
        .filter(split="test")
        .row(0, named=True)
    )
    filled = {"FOLDER": "tiny"}
    words = [filled.get(word, word) for word in words]
    for place, option in enumerate(words[:-1]):
        if words[place + 1] == "ID":
            words[place + 1] = str(pair[{"--query-id": "query_id"}.get(option, "product_id")])
    if words[1] in ("run", "compare") and (words[2].endswith(".toml")):
        words = [*words, *small(str(folder / words[2]))]
    if words[1:3] == ["data", "make"]:
        words = [re.sub(r"^size=\d+", "size=300", word) for word in words]
    return words


def outcomes(page: Path, folder: Path) -> Iterator[tuple[str, int, str]]:
    """Yield each command with its exit code and what it said."""
    for words in shown(page):
        if not reason(words):
            words = typed(words, folder)
            done = CliRunner().invoke(cli, words[1:])
            said = done.output + (f"\n{done.exception!r}" if done.exception else "")
            yield shlex.join(words), done.exit_code, said[-2000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_do_what_the_page_says(
    page: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepared(page, tmp_path, first)
    told = list(outcomes(page, tmp_path))
    assert told
    assert [f"{line}\n{said}" for line, code, said in told if code] == []


def test_no_reason_to_leave_a_command_out_is_idle() -> None:
    every = [
        shlex.join(words) for page in ROOT.rglob("*.md") if ".venv" not in page.parts for words in shown(page)
    ]
    idle = [why for why, pattern in LEFT_OUT.items() if not any(re.search(pattern, line) for line in every)]
    assert idle == []
