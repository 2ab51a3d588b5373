"""What a page shows is done: its commands as they stand, and its Python, in a folder of their own, on small data.

The folder holds what a reader has: the page's pipelines under the names its commands use, the shipped ones (all with few
rows and epochs), and small files in the formats that the page speaks of. A command that is not typed here stands in
LEFT_OUT with the reason, and a page that another test replays in REPLAYED.
"""

from __future__ import annotations

import ast
import fnmatch
import gzip
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner

from distributions import lay_out
from pages import blocks, documentation, shell_lines
from prodmatch_core.cli import cli
from prodmatch_core.grid.plan import plan
from prodmatch_core.plugins import load_plugins
from prodmatch_core.registry import Registry, default_registry
from prodmatch_core.testing import samples
from prodmatch_core.testing.official_files import judged
from prodmatch_core.testing.worlds import START, product_graph

ROOT = Path(__file__).parents[2]
WRITE = "docs/how-to/write-a-plugin.md"
"Its Python is the files of a plugin, which is laid out and found."
ROWS = 300
"Judgements of a shop that a page makes or reads."

REPLAYED = {
    "docs/tutorial/first-plugin.md": "tests/installed/test_installed_docs.py",
    "docs/how-to/publish-a-plugin.md": "tests/installed/test_installed_docs.py",
    "docs/how-to/wrap-a-hugging-face-model.md": "tests/installed/test_installed_docs.py",
    "docs/reference/hooks/*.md": "tests/installed/test_installed_new_plugins.py",
    "docs/reference/conformance.md": "tests/installed/test_installed_new_plugins.py",
}
"Pages for authors of plugins -> the test that does what they show, in an environment with nothing else of ours."

LEFT_OUT = {
    r"prodmatch data make .*size=2600000.*": "makes gigabytes, in minutes",
    r"prodmatch plugins check prodmatch-example": "done on its wheel by tests/installed/test_installed_wheels.py",
    r"make (demo|test|site|bench|evidence)": "a target of the Makefile; its name is looked up there",
    r"((PRODMATCH_DATA|OMP_NUM_THREADS)=\w+ )*(\.venv/bin/)?python \S+\.py.*": "minutes to hours; the file is looked up",
    r"(python -m )?pip install .*": "needs a package index; tests/installed installs wheels",
    r"torchrun .*": "several processes; tests/run/test_run_processes.py starts them",
    r"pytest .*": "the tests of the reader's own plugin; tests/installed/test_installed_new_plugins.py runs them",
}
"Commands that are not done here -> why."

SHORTER = {
    r"--seeds \d": "--seeds 1",
    r"--jobs \d": "--jobs 2",
    r"size=\d+": f"size={ROWS}",
    r"--top 8": "--top 8 --rows 3",
}
"What is cut in a command that is done."

# -- what a reader has ----------------------------------------------------------------------------------------


@attrs.frozen
class Reader:
    """What the reader of a page has, and has done before its first command.

    `files`: name -> which of the page's tables of settings is saved under it, counted from 0, and what stands before
    it where the page shows a part. `data`: functions that write files. `done`: commands. `names`: what the page's
    Python takes for granted.
    """

    files: Mapping[str, tuple[int, str]] = attrs.field(factory=dict)
    data: tuple[Callable[[Path], None], ...] = ()
    done: tuple[str, ...] = ()
    names: Callable[[], dict[str, Any]] = dict


def shop(name: str) -> str:
    return f'[pipeline]\nname = "{name}"\n\n[data]\nuse = "shop.synthetic"\nsize = {ROWS}\n\n'


def grades(*labels: str) -> Callable[[Path], None]:
    """Return what writes judged pairs with these grades, best first, as CSV and packed, and pairs to score."""

    def write(folder: Path) -> None:
        rows = [
            (q, f"{p['brand']} {p['color']} {p['kind']}", labels[grade % len(labels)])
            for _, q, p, grade in judged(40)
        ]
        table = pl.DataFrame(rows, ["search_term", "product_title", "grade"], orient="row").unique(
            ["search_term", "product_title"], maintain_order=True
        )
        (folder / "DIR").mkdir()
        for place in (folder, folder / "DIR"):
            table.write_csv(place / "judged.csv")
            (place / "judged.csv.gz").write_bytes(gzip.compress((place / "judged.csv").read_bytes()))

    return write


def pairs(folder: Path) -> None:
    table = pl.DataFrame({"query": ["red mug", "blue lamp"], "title": ["Red mug with handle", "Garden hose"]})
    table.write_csv(folder / "pairs.csv")
    table.write_parquet(folder / "pairs.parquet")


def public(*names: str) -> Callable[[Path], None]:
    """Return what writes small sets in the official formats of these public ones under DIR."""

    def write(folder: Path) -> None:
        for name in names:
            getattr(samples, name)(folder / "DIR")

    return write


def amazon_google(folder: Path) -> None:
    """Write the set under the names that its pipeline expects."""
    samples.magellan(folder / "DIR")
    place = (folder / "DIR" / "magellan").rename(folder / "DIR" / "amazon_google")
    for split, name in (("train", "train"), ("valid", "validation"), ("test", "test")):
        (place / f"{split}.csv").rename(place / f"amz_goog_{name}.csv")


def listings(*names: str) -> Callable[[Path], None]:
    """Return what writes items.csv with these names for item, group and title."""

    def write(folder: Path) -> None:
        samples.groups(folder)
        header, rest = (folder / "items.csv").read_text().split("\n", 1)
        (folder / "items.csv").write_text(f"{','.join(names or header.split(','))}\n{rest}")

    return write


def graph(folder: Path) -> None:
    (folder / "DIR").mkdir()
    samples.edges(folder / "DIR")
    (folder / "DIR" / "graph.csv.gz").write_bytes(gzip.compress((folder / "DIR" / "edges.csv").read_bytes()))


def bought(folder: Path) -> None:
    """Write what was bought after what, with the product that the page asks about."""
    known = product_graph()
    assert known.engagements is not None
    ends = known.engagements.select(bought="src", then="dst", times="count")
    first = ends["bought"].mode().sort()[0]
    ends = ends.with_columns(pl.col("bought", "then").replace(first, "B00005N7NQ"))
    names = pl.concat([ends["bought"], ends["then"]]).unique(maintain_order=True)
    (folder / "DIR").mkdir()
    ends.write_csv(folder / "DIR" / "bought.csv")
    pl.DataFrame({"product_id": names, "title": [f"thing {name}" for name in names]}).write_csv(
        folder / "DIR" / "products.csv"
    )


def clicks(folder: Path) -> None:
    """Write ten days of clicks: with a shop's own names under DIR, and with the reader's beside."""
    shown = [START + timedelta(minutes=24 * n) for n in range(600)]
    ordered = [at + timedelta(hours=1 + n % 40) if n % 3 == 0 else None for n, at in enumerate(shown)]
    basket = [at + timedelta(minutes=9) if n % 2 == 0 else None for n, at in enumerate(shown)]
    (folder / "DIR").mkdir()
    pl.DataFrame(
        {
            "click_time": shown,
            "order_time": ordered,
            "basket_time": basket,
            "device": ["phone" if n % 2 else "desk" for n in range(600)],
            "campaign": [f"c{n % 7}" for n in range(600)],
            "price": [float(n % 50) for n in range(600)],
        }
    ).write_parquet(folder / "DIR" / "clicks.parquet")
    pl.DataFrame({"shown_at": shown, "converted_at": ordered}).write_csv(folder / "clicks.csv")


def feed(folder: Path) -> None:
    names = ("id", "locale", "bullets", "title", "description", "brand", "color")
    rows = [{"put": "a", "fields": {name: f"{name} {n}" for name in names}} for n in range(3)]
    (folder / "sample-products.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def rankings(folder: Path) -> None:
    """Write two systems' rankings of the same judged products."""
    graded = [(q, f"p{n}", (100, 10, 1, 0)[(q + n) % 4]) for q in range(12) for n in range(8)]
    (folder / "qrels.trec").write_text("".join(f"q{q} 0 {p} {grade}\n" for q, p, grade in graded))
    for name, order in (("run", lambda grade, n: grade + n), ("other", lambda grade, n: n - grade)):
        lines = (f"q{q} Q0 {p} 0 {order(grade, n)} {name}\n" for n, (q, p, grade) in enumerate(graded))
        (folder / f"{name}.trec").write_text("".join(lines))


def vectors() -> dict[str, Any]:
    """Return embeddings with groups, and a base loss."""
    made = torch.from_numpy(np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32))
    return {"vectors": made, "labels": torch.arange(12) % 4, "base": lambda of, groups: of.square().mean()}


def for_authors() -> dict[str, Any]:
    from prodmatch_core import hookimpl
    from prodmatch_core.fields import positive
    from prodmatch_core.records import LossSpec, MeasureSpec

    return {
        "attrs": attrs,
        "hookimpl": hookimpl,
        "positive": positive,
        "LossSpec": LossSpec,
        "MeasureSpec": MeasureSpec,
    }


READERS = {
    "README.md": Reader({"mine.toml": (0, "")}, (grades("1", "0"), pairs), names=for_authors),
    "docs/explanation/benchmarks-salam.md": Reader(data=(public("esci"),)),
    "docs/explanation/esci-scale.md": Reader(data=(public("esci"),)),
    "docs/explanation/ranking-measures.md": Reader(data=(rankings,), names=for_authors),
    "docs/how-to/bring-your-own-data.md": Reader({"mine.toml": (0, "")}, (grades("4", "3", "2", "1"),)),
    "docs/how-to/compare-two-losses.md": Reader(
        {"loss.toml": (0, "")},
        done=(
            "prodmatch run loss.toml --out runs/mine",
            "prodmatch run loss.toml --out runs/other --set member.0.training.learning_rate=0.02",
        ),
    ),
    "docs/how-to/ensemble-members.md": Reader(
        {"mine.toml": (0, shop("mine")), "member.toml": (3, "")}, (pairs,), ("prodmatch run mine.toml",)
    ),
    "docs/how-to/explain-a-decision.md": Reader(
        data=(public("shopee"),), done=("prodmatch run pipelines/shopee.toml --data DIR",)
    ),
    "docs/how-to/generate-hard-negatives.md": Reader(
        {
            "mine.toml": (
                0,
                '[pipeline]\nname = "mine"\n\n[data]\nuse = "core.homedepot"\nscheme = "binary"\n\n',
            )
        },
        (public("homedepot"),),
    ),
    "docs/how-to/graph-group-event-data.md": Reader(data=(graph, public("shopee"))),
    "docs/how-to/know-your-data.md": Reader(
        {"mine.toml": (-1, shop("mine") + '[[member]]\nencoder = { use = "core.ngram" }\n')},
        done=("prodmatch data make shop.synthetic --set size=2000 -o FOLDER",),
    ),
    "docs/how-to/labels-that-come-late.md": Reader({"clicks.toml": (0, "")}, (clicks,)),
    "docs/how-to/mine-hard-negatives.md": Reader({"pipeline.toml": (0, shop("mined"))}),
    "docs/how-to/one-threshold.md": Reader(
        {"listings.toml": (0, "")}, (listings("id", "product", "name"),), ("prodmatch run listings.toml",)
    ),
    "docs/how-to/public-match-data.md": Reader(data=(public("esci", "wands"), amazon_google, feed)),
    "docs/how-to/recommend-what-is-bought-next.md": Reader({"next.toml": (0, "")}, (bought,)),
    "docs/how-to/score-a-catalogue.md": Reader(
        data=(pairs,), done=("prodmatch run pipelines/first.toml --out runs/mine",)
    ),
    "docs/how-to/swap-parts-across-plugins.md": Reader(data=(public("crowdflower"),)),
    "docs/how-to/train-for-regions.md": Reader(
        data=(public("esci"),),
        done=("prodmatch run plugins/prodmatch-salam/pipelines/shop.toml --overwrite",),
    ),
    "docs/how-to/export-for-serving.md": Reader(),
    WRITE: Reader(),
    "plugins/prodmatch-quarts/README.md": Reader(data=(public("homedepot"),)),
    "plugins/prodmatch-tcm/README.md": Reader(
        {"one.toml": (0, "")},
        (listings(),),
        ("prodmatch run one.toml --out runs/with", "prodmatch run one.toml --out runs/without"),
        vectors,
    ),
}
"Pages that need more than the shipped pipelines."


# -- what a page shows ----------------------------------------------------------------------------------------


@attrs.frozen
class Step:
    """Something that a page shows and a reader does: a `command` line, or `python`."""

    kind: str
    text: str


def is_command(line: str) -> bool:
    return bool(
        re.match(
            r"(\w+=\S+ )*(\.venv/bin/)?(prodmatch|make|python|pip|pytest|towncrier|twine|torchrun|accelerate|git|cd) ",
            f"{line} ",
        )
    )


def steps(page: Path) -> list[Step]:
    """Return what a page asks for, in its order. Settings in TOML and what commands print are not asked for."""
    found: list[Step] = []
    for _, block in blocks(page):
        lines = shell_lines(block)
        if any(map(is_command, lines)) and not is_toml(block):
            found += [Step("command", line) for line in lines if is_command(line)]
            block = "\n".join(line for line in block.splitlines() if not is_command(line.strip()))
        elif is_toml(block):
            found += [Step("command", line) for line in lines if is_command(line)]
            continue
        if is_python(block):
            found.append(Step("python", block))
    return found


def is_toml(block: str) -> bool:
    return block.startswith("[")


def is_python(block: str) -> bool:
    """Return whether a block is Python that does something; settings such as `keep = 3` are none."""
    try:
        tree = ast.parse(block)
    except SyntaxError:
        return False
    return any(
        isinstance(node, ast.Import | ast.ImportFrom | ast.Call | ast.FunctionDef) for node in ast.walk(tree)
    )


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def replayed(page: Path) -> bool:
    return any(fnmatch.fnmatch(name_of(page), pattern) for pattern in REPLAYED)


def reason(line: str) -> str:
    """Return why a command is not done here, or nothing."""
    return next((why for pattern, why in LEFT_OUT.items() if re.fullmatch(pattern, line)), "")


PAGES = [page for page in documentation(ROOT) if "adr" not in page.parts and not replayed(page)]
DONE = [page for page in PAGES if any(step.kind == "python" or not reason(step.text) for step in steps(page))]


def cut(text: str) -> str:
    """Return a pipeline file with few rows and epochs."""
    text = re.sub(r"^size = \d+", f"size = {ROWS}", text, flags=re.MULTILINE)
    # A generator inside begins after the first epoch.
    epochs = 2 if "quarts.variational" in text else 1
    text = re.sub(r"\bepochs = \d+", f"epochs = {epochs}", text)
    head, *members = text.split("[[member]]\n")
    untold = ["core.ngram" in member and "training" not in member for member in members]
    members = [
        "training.epochs = 1\n" * default + member for member, default in zip(members, untold, strict=True)
    ]
    text = "[[member]]\n".join([head, *members])
    text = re.sub(r"^folds = \d+\n", "", text, flags=re.MULTILINE)
    text = re.sub(r'^(use = "ensemble\.\w+")', r"\1\nfolds = 2\nrounds = 20", text, flags=re.MULTILINE)
    return re.sub(r"\btuples = \d+", "tuples = 60", text)


def settle(page: Path, folder: Path) -> Reader:
    """Put into a folder what the reader of a page has, and return what is known of that reader."""
    reader = READERS.get(name_of(page), Reader())
    for file in (*ROOT.glob("pipelines/*.toml"), *ROOT.glob("[pc]*/*/pipelines/*.toml")):
        place = folder / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(cut(file.read_text(encoding="utf-8")), encoding="utf-8")
    tables = [block.partition("\nprodmatch ")[0] for _, block in blocks(page) if is_toml(block)]
    for name, (number, before) in reader.files.items():
        (folder / name).write_text(cut(before + (tables[number] if number >= 0 else "")), encoding="utf-8")
    for write in reader.data:
        write(folder)
    return reader


def filled_in(words: list[str]) -> list[str]:
    """Return a command's words with ID replaced by what the run it names has in its test split."""
    if "ID" not in words:
        return words
    run = Path(words[2])
    items = (run / "items.parquet").is_file()
    table = pl.read_parquet(run / ("items.parquet" if items else "decisions.parquet")).filter(split="test")
    row = table.row(0, named=True)
    known = {
        "--query-id": row["item_id"] if items else row["query_id"],
        "--product-id": row.get("product_id"),
    }
    return [str(known[words[place - 1]]) if word == "ID" else word for place, word in enumerate(words)]


def do(line: str, registry: Registry | None = None) -> str:
    """Do a command as it stands, but for what is cut, and return what it printed. It ends well and leaves what it names."""
    for long, short in SHORTER.items():
        line = re.sub(long, short, line)
    words = filled_in(shlex.split(line.removeprefix(".venv/bin/")))
    done = CliRunner().invoke(cli, words[1:], obj=registry)
    assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}\n{done.exception!r}"
    named = [words[place + 1] for place, word in enumerate(words[:-1]) if word in ("-o", "--out")]
    named += re.findall(r"^(?:report|page|export): (.+)$", done.output, re.MULTILINE)
    assert [name for name in named if not Path(name).exists()] == [], done.output
    assert named or words[1] not in ("run", "score", "export"), done.output
    return done.output


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of pipelines/first.toml, cut, which several pages speak of."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settle(ROOT / "docs" / "README.md", folder)
        do("prodmatch run pipelines/first.toml")
    return folder / "runs" / "first"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which the commands of a page are typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRODMATCH_DATA", raising=False)
    return tmp_path


# -- tests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", DONE, ids=name_of)
def test_what_a_page_shows_works(page: Path, desk: Path, request: pytest.FixtureRequest) -> None:
    reader = settle(page, desk)
    found = steps(page)
    earlier = [*reader.done, *(step.text for step in found)]
    if any("runs/first" in text for text in earlier) and "pipelines/first.toml" not in earlier:
        shutil.copytree(request.getfixturevalue("first"), desk / "runs" / "first")
    for line in reader.done:
        do(line)
    names, registry = reader.names(), None
    for step in found:
        if step.kind == "python" and name_of(page) != WRITE:
            exec(compile(step.text, name_of(page), "exec"), names)
        elif step.kind == "command" and not reason(step.text):
            # A name that an installed distribution has is refused to a new one, so that comes first.
            if name_of(page) == WRITE and registry is None and "new-plugin" not in step.text:
                registry = with_plugin_of(page, desk / "site", request)
            do(step.text, registry)


def with_plugin_of(page: Path, site: Path, request: pytest.FixtureRequest) -> Registry:
    """Lay out the distribution whose files a page shows, and return the registry of what is installed with it."""
    shown = {
        match[1]: block for before, block in blocks(page) if (match := re.search(r"`([\w/]+\.py)`:$", before))
    }
    assert set(shown) == {"prodmatch_acme/plugin.py", "prodmatch_acme/sharp.py"}
    lay_out(site, "prodmatch-acme", shown["prodmatch_acme/plugin.py"])
    (site / "prodmatch_acme" / "sharp.py").write_text(shown["prodmatch_acme/sharp.py"])
    sys.path.insert(0, str(site))
    request.addfinalizer(lambda: sys.path.remove(str(site)))
    registry = Registry(*load_plugins())
    for line in ("prodmatch plugins show acme.sharp", "prodmatch plugins check acme"):
        assert f"`{line}`" in page.read_text(encoding="utf-8")
        do(line, registry)
    return registry


def swaps() -> list[tuple[str, str]]:
    """Return file and swap of each row of a page's table of swaps."""
    page = ROOT / "docs" / "how-to" / "swap-parts-across-plugins.md"
    return re.findall(r"\| `(\S+\.toml)` \| `([^`]+)` \|", page.read_text(encoding="utf-8"))


def test_every_swap_of_the_table_makes_arms_that_are_valid() -> None:
    assert len(swaps()) >= 4
    for file, swap in swaps():
        cells = plan(
            ROOT / file,
            (swap,),
            out=None,
            settings=(),
            seeds=1,
            split_seeds=False,
            registry=default_registry(),
        )
        assert len(cells) >= 2


def test_every_reason_to_leave_a_command_out_is_needed() -> None:
    lines = [step.text for page in PAGES for step in steps(page) if step.kind == "command"]
    assert [pattern for pattern in LEFT_OUT if not any(re.fullmatch(pattern, line) for line in lines)] == []


def test_a_command_that_is_left_out_is_at_least_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [step.text for page in PAGES for step in steps(page) if step.kind == "command"]
    made = {line.split()[1] for line in lines if line.startswith("make ")}
    scripts = {script for line in lines for script in re.findall(r"python (\S+\.py)", line)}
    assert len(made) >= 3
    assert len(scripts) >= 15
    assert made - targets == set()
    assert [script for script in sorted(scripts) if not (ROOT / script).is_file()] == []


@pytest.mark.parametrize(("pattern", "test"), REPLAYED.items())
def test_a_page_that_another_test_replays_is_there_and_named_in_it(pattern: str, test: str) -> None:
    assert list(ROOT.glob(pattern))
    text = (ROOT / test).read_text(encoding="utf-8")
    assert pattern in text or "new-plugin acme-reranker --kind {kind}" in text
