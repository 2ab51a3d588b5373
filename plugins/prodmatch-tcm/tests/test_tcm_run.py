"""A run with the term, its report section, its kept curves and the commands that read it."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import write_folder
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import ConfigError, DataError, RunError
from prodmatch_core.registry import Registry
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline
from prodmatch_core.testing.isolated import isolated_registry
from prodmatch_tcm import plugin
from prodmatch_tcm.commands.consistency import consistency
from prodmatch_tcm.commands.digits import digits
from prodmatch_tcm.commands.threshold import threshold
from prodmatch_tcm.histograms import class_histograms
from prodmatch_tcm.utility import curves_of, opis, threshold_at
from prodmatch_tcm.vectors import pairs_of


def own_registry() -> Registry:
    """Return the core's parts and this distribution's, installed or not."""
    return isolated_registry(core=True, plugin=plugin)


def listings() -> Dataset:
    """Return 120 products of 2 to 6 titles: two words that name the product among words that do not."""
    random = np.random.default_rng(0)
    words = [
        f"{a}{b}" for a in ("kor", "vel", "mis", "tra", "lun", "pod") for b in ("ba", "do", "gi", "pe", "su")
    ]
    rows = []
    for number in range(120):
        split = ("train", "train", "valid", "test")[number % 4]
        own = [words[number % 30], words[(7 * number + number // 30) % 30]]
        for copy in range(2 + number % 5 if number % 30 else 1):
            noise = random.choice(["new", "sale", "best", "promo", "original"], 2, replace=False)
            title = " ".join(random.permutation([*own, *noise]))
            rows.append({"id": f"i{number}-{copy}", "group": f"g{number}", "split": split, "title": title})
    frame = pl.DataFrame(rows)
    return Dataset(
        "listings",
        products=frame.select(product_id="id", locale=pl.lit("en"), title="title"),
        groups=frame.select(item_id="id", group="group", split="split"),
        source="made for tests",
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Return a run without and one with the term."""
    folder = tmp_path_factory.mktemp("tcm")
    write_folder(listings(), folder / "data")
    registry, found = own_registry(), {}
    for name, losses in (
        ("without", [{"use": "tcm.multi_similarity"}]),
        (
            "with",
            [{"use": "tcm.multi_similarity"}, {"use": "tcm.margin", "margins": "quantile", "memory": 64}],
        ),
    ):
        tree = {
            "pipeline": {"name": name, "task": "embed", "seed": 1},
            "data": {"use": "core.folder", "path": str(folder / "data")},
            "member": [
                {
                    "encoder": {"use": "core.ngram", "mode": "two_tower", "buckets": 2048, "width": 32},
                    "loss": losses,
                    "training": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01},
                }
            ],
            "evaluation": {
                "replicates": 100,
                "measures": ["opis", "opis@10%", "opis_strict", "class_utility"],
            },
        }
        pipeline = load_pipeline(tree, registry=registry)
        found[name] = run_pipeline(pipeline, out=folder / name, context=ReadContext(), registry=registry)
    return found


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)))  # type: ignore[arg-type]


def test_every_line_has_opis_with_an_interval(runs: dict[str, Run]) -> None:
    for line in runs["with"].metrics["lines"]:
        figure = line["measures"]["opis"]
        assert 0 <= figure["low"] <= figure["high"], line["name"]
    assert runs["with"].metrics["directions"]["opis"] == "lower"


def test_the_vectors_kept_give_the_figure_of_the_run(runs: dict[str, Run]) -> None:
    found = opis(curves_of(pairs_of(runs["with"], "test").histograms))
    assert found == pytest.approx(runs["with"].metrics["lines"][-1]["measures"]["opis"]["value"], abs=1e-6)


def test_every_class_keeps_its_curve(runs: dict[str, Run]) -> None:
    kept = pl.read_parquet(runs["with"].path / "class_utility.parquet")
    pairs = pairs_of(runs["with"], "test")
    assert kept["group"].unique(maintain_order=True).to_list() == pairs.classes
    assert kept.columns == ["group", "items", "threshold", "accepted", "rejected", "utility"]
    mean = (
        kept.group_by("threshold").agg(pl.col("utility").var(ddof=0)).sort("threshold")["utility"].to_numpy()
    )
    assert mean.mean() == pytest.approx(opis(curves_of(pairs.histograms)), rel=0.05)


def test_the_report_says_who_suffers(runs: dict[str, Run]) -> None:
    page = (runs["with"].path / "report.html").read_text(encoding="utf-8")
    assert "One threshold for every class" in page
    assert "<h3>Who suffers: the classes of the lowest utility</h3>" in page
    assert "tcm-utility-title" in page


def test_the_report_calls_those_who_suffer_by_a_title(runs: dict[str, Run]) -> None:
    page = (runs["with"].path / "report.html").read_text(encoding="utf-8")
    suffering = page[page.index("<h3>Who suffers") :].partition("<h2")[0]
    items = (
        runs["with"].items.filter(pl.col("split") == "test").group_by("group", maintain_order=True).first()
    )
    told = re.findall(r'<th scope="row">([^<]+)</th>.*?<td>([^<]+)</td></tr>', suffering)
    titles = dict(zip(items["group"].cast(pl.String), items["title"], strict=True))
    assert told
    assert {name: unescape(title) for name, title in told} == {name: titles[name] for name, _ in told}


def test_threshold_is_chosen_on_validation_and_told_on_test(runs: dict[str, Run]) -> None:
    done = run(threshold, runs["with"].path, "--far", 0.05, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    valid = pairs_of(runs["with"], "valid").histograms
    assert told["threshold"] == pytest.approx(threshold_at(valid, 0.05))
    assert told["chosen"]["false_accepts"] == pytest.approx(0.05, abs=0.005)
    assert sum(part["classes"] for part in told["segments"]) == told["test"]["classes"]
    utilities = [each["utility"] for each in told["worst"]]
    assert utilities == sorted(utilities)
    assert len(utilities) == 10


def test_threshold_by_false_rejects(runs: dict[str, Run]) -> None:
    told = json.loads(run(threshold, runs["with"].path, "--frr", 0.2, "--json").output)
    assert told["chosen"]["false_rejects"] == pytest.approx(0.2, abs=0.02)


def test_threshold_prints_a_table_a_person_reads(runs: dict[str, Run]) -> None:
    done = run(threshold, runs["with"].path, "--worst", 2)
    lines = done.output.splitlines()
    assert lines[0].startswith("threshold ")
    assert lines[1].startswith("chosen on validation: 1.00% of the negative pairs accepted, ")
    assert "who suffers most:" in lines
    assert len(lines) - lines.index("who suffers most:") == 4


def test_threshold_by_segments_of_the_users(runs: dict[str, Run], tmp_path: Path) -> None:
    classes = pairs_of(runs["with"], "test").classes
    named = classes[:-1]
    table = pl.DataFrame(
        {"group": named, "segment": [("a", "b")[number % 2] for number in range(len(named))]}
    )
    table.write_csv(tmp_path / "s.csv")
    told = json.loads(run(threshold, runs["with"].path, "--segments", tmp_path / "s.csv", "--json").output)
    names = {part["name"]: part["classes"] for part in told["segments"]}
    assert set(names) == {"a", "b", "(none)"}
    assert names["(none)"] == 1


def test_a_file_without_segments_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("group,part\ng3,a\n")
    found = run(threshold, runs["with"].path, "--segments", path).exception
    assert isinstance(found, DataError)
    assert str(found) == f"{path}: no column segment. The file has group, part."
    path.write_text("group,segment\nelsewhere,a\n")
    found = run(threshold, runs["with"].path, "--segments", path).exception
    first = pairs_of(runs["with"], "test").classes[0]
    assert str(found) == (
        f"{path}: none of its 1 groups is a class of the run's test split, such as {first}. Check the column group."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--far", "0.1", "--frr", "0.1"), "--far and --frr: give one of them; each fixes the threshold."),
        (("--far", "1.5"), "--far 1.5: expected a share above 0 and below 1, such as 0.01."),
        (("--frr", "0"), "--frr 0: expected a share above 0 and below 1, such as 0.01."),
    ],
)
def test_a_rate_that_is_none_is_refused(
    runs: dict[str, Run], arguments: tuple[str, ...], message: str
) -> None:
    found = run(threshold, runs["with"].path, *arguments).exception
    assert isinstance(found, ConfigError)
    assert str(found) == message


def test_a_run_without_kept_items_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "older"
    shutil.copytree(runs["with"].path, copy)
    (copy / "items.parquet").unlink()
    found = run(threshold, copy).exception
    assert isinstance(found, RunError)
    assert str(copy / "items.parquet") in str(found)


def test_consistency_draws_runs_side_by_side(runs: dict[str, Run], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run(consistency, runs["without"].path, runs["with"].path, "-o", page)
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure>") == 3
    # One circle for the run without the term, one triangle for the run with it.
    assert text.count("<circle") == 1 and text.count("l6 11h-12z") == 1
    assert [line.split()[0] for line in done.output.splitlines()[1:3]] == ["without", "with"]


def test_digits_are_placed_and_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "digits.svg"
    done = run(digits, "-o", picture, "--epochs", 30)
    assert done.exit_code == 0, done.output
    plain, term = (line.split() for line in done.output.splitlines()[1:3])
    assert float(plain[1]) > 0.5 and float(term[-3]) > 0.5
    assert picture.read_text(encoding="utf-8").count(">0</text>") == 2


def test_the_shipped_pipeline_is_valid() -> None:
    path = Path(__file__).parent.parent / "pipelines" / "shopee_margin.toml"
    losses = [entry.part.name for entry in load_pipeline(path, registry=own_registry()).member[0].loss]
    assert losses == ["tcm.multi_similarity", "tcm.margin"]


def test_opis_needs_groups() -> None:
    tree = {
        "pipeline": {"name": "x", "task": "relate"},
        "data": {"use": "core.edges", "path": "edges.csv"},
        "member": [{"encoder": {"use": "core.node_vectors"}}],
        "evaluation": {"measures": ["opis"]},
    }
    with pytest.raises(ConfigError, match="opis needs group_labels") as caught:
        load_pipeline(tree, registry=own_registry())
    assert "opis needs group_labels (examples labelled by group); the task relate gives neighbours" in str(
        caught.value
    )


def test_histograms_of_no_class_are_empty() -> None:
    found = class_histograms(lambda rows: np.zeros((len(rows), 2)), np.arange(2), np.arange(2))
    assert found.positive.shape[0] == 0 and found.singles == 2
