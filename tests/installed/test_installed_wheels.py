"""Installed for real: wheels of all distributions together, in an environment that never saw the repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from environments import Environment, build_wheels
from prodmatch_core.scaffold import NewPlugin, create

pytestmark = pytest.mark.slow

PIPELINE = """\
[pipeline]
name = "both"

[data]
use = "shop.synthetic"
size = 1500

[[member]]
name = "trees"
encoder = { use = "baselines.lexical_gbdt", rounds = 30 }

[[member]]
name = "maxsim"
encoder = { use = "example.maxsim", buckets = 4096 }
negatives = { use = "quarts.noise" }

[[member.loss]]
use = "core.cross_entropy"

[[member.loss]]
use = "example.pairwise"

[member.training]
epochs = 2
learning_rate = 0.003

[[member]]
name = "salam"
sampler = { use = "blade.adaptive", fanouts = [4, 4] }

[member.encoder]
use = "salam.fusion"
text = { use = "core.ngram", buckets = 4096, width = 16 }
graph = { use = "dgl.sage", width = 16, layers = 2 }
features = { use = "core.ngram", mode = "two_tower", width = 16, buckets = 4096 }
width = 16

[member.training]
epochs = 1

[[member]]
name = "towers"
encoder = { use = "baselines.dssm", width = 16, hidden = 16, buckets = 4096 }
loss = [{ use = "core.cross_entropy" }, { use = "tcm.margin", weight = 0.1 }]

[member.training]
epochs = 1

[aggregator]
use = "ensemble.lightgbm"
folds = 2
rounds = 20

[[calibrator]]
use = "uncertainty.threshold"
target = 0.5
"""
"Parts of every plugin but one: `prodmatch-delayed` has none for the task match."
PAIRS = "query,title\nred mug,Red mug with handle\nred mug,Garden hose\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Environment:
    """Return an environment with all distributions; no test changes it."""
    here = Environment.create(tmp_path_factory.mktemp("shop") / "venv")
    here.run(f"pip install -q --no-deps {' '.join(map(str, wheels.values()))}", here.folder)
    return here


@pytest.fixture(scope="module")
def work(shop: Environment) -> Path:
    """Return a folder that holds a pipeline, pairs to score, and the finished run of the pipeline."""
    folder = shop.folder.parent / "work"
    folder.mkdir()
    (folder / "both.toml").write_text(PIPELINE)
    (folder / "pairs.csv").write_text(PAIRS)
    shop.run("python -I -m prodmatch_core run both.toml", folder)
    return folder


def plugins(here: Environment, cwd: Path) -> dict[str, tuple[str, str]]:
    """Return version and state of every distribution that `prodmatch plugins` lists."""
    listed = json.loads(here.run("prodmatch plugins --json", cwd))["plugins"]
    return {plugin["distribution"]: (plugin["version"], plugin["state"]) for plugin in listed}


def test_the_core_is_imported_from_the_environment(shop: Environment, tmp_path: Path) -> None:
    file = shop.run('python -I -c "import prodmatch_core; print(prodmatch_core.__file__)"', tmp_path)
    assert Path(file.strip()) == shop.site / "prodmatch_core" / "__init__.py"


def test_the_repository_is_nowhere_on_the_path(shop: Environment, tmp_path: Path, repository: Path) -> None:
    path = json.loads(shop.run('python -I -c "import json, sys; print(json.dumps(sys.path))"', tmp_path))
    assert [place for place in path if Path(place).resolve().is_relative_to(repository)] == []


def test_all_distributions_are_found_and_well(
    shop: Environment, tmp_path: Path, wheels: dict[str, Path]
) -> None:
    assert len(wheels) == 11
    assert plugins(shop, tmp_path) == dict.fromkeys(wheels, ("0.1.0", "ok"))


def test_nothing_that_they_require_is_missing_or_of_another_version(
    shop: Environment, tmp_path: Path
) -> None:
    assert shop.run("pip check", tmp_path) == "No broken requirements found.\n"


def test_a_pipeline_of_their_parts_runs_and_says_who_made_it(work: Path, wheels: dict[str, Path]) -> None:
    metrics = json.loads((work / "runs" / "both" / "metrics.json").read_text())
    assert {"trees", "maxsim", "salam", "towers", "pipeline"} <= {line["name"] for line in metrics["lines"]}
    distributions = json.loads((work / "runs" / "both" / "provenance.json").read_text())["distributions"]
    assert {name: distributions[name] for name in wheels} == dict.fromkeys(wheels, "0.1.0")


def test_the_finished_run_scores_pairs(shop: Environment, work: Path) -> None:
    shop.run("python -I -m prodmatch_core score runs/both pairs.csv -o scored.csv", work)
    header, *rows = (work / "scored.csv").read_text().splitlines()
    assert header.startswith("query,title,decided,accepted,score")
    assert len(rows) == 2


def test_the_kit_passes_on_what_is_installed(shop: Environment, tmp_path: Path) -> None:
    told = json.loads(shop.run("prodmatch plugins check prodmatch-example --json", tmp_path))
    assert told["failed"] == 0
    assert told["passed"] > 30


def test_an_upgrade_leaves_one_version(
    author: Callable[[], Environment], tmp_path: Path, wheels: dict[str, Path], repository: Path
) -> None:
    here = author()
    here.install(wheels["prodmatch-example"])
    here.install(*build_wheels([repository / "contrib" / "prodmatch-example"], tmp_path, version="0.1.1"))
    assert plugins(here, tmp_path)["prodmatch-example"] == ("0.1.1", "ok")
    assert [entry.name for entry in here.site.glob("prodmatch_example-*")] == [
        "prodmatch_example-0.1.1.dist-info"
    ]


def test_an_upgrade_that_wants_a_newer_core_is_told_and_the_rest_works(
    author: Callable[[], Environment], tmp_path: Path
) -> None:
    here, folder = author(), tmp_path / "next"
    create(NewPlugin("next", "loss"), tmp_path)
    project = folder / "pyproject.toml"
    project.write_text(project.read_text().replace("prodmatch-core>=0.1,<0.2", "prodmatch-core>=7,<8"))
    here.run(f"pip install -q --no-deps {build_wheels([folder], tmp_path)[0]}", tmp_path)
    told = here.run("prodmatch plugins", tmp_path)
    assert (
        "prodmatch-next:next: made for prodmatch-core<8,>=7, this is prodmatch-core 0.1.0. Upgrade prodmatch-core, or "
        "install an older prodmatch-next.\n"
    ) in told
    assert plugins(here, tmp_path) == {
        "prodmatch-core": ("0.1.0", "ok"),
        "prodmatch-next": ("0.1.0", "failed"),
    }


def test_after_an_uninstall_its_parts_are_unknown_and_its_runs_say_so(
    author: Callable[[], Environment], tmp_path: Path, wheels: dict[str, Path], work: Path
) -> None:
    here = author()
    here.install(*(wheel for name, wheel in wheels.items() if name != "prodmatch-core"))
    here.run("pip uninstall -q -y prodmatch-example", tmp_path)
    assert plugins(here, tmp_path) == dict.fromkeys(wheels.keys() - {"prodmatch-example"}, ("0.1.0", "ok"))
    assert list(here.site.glob("prodmatch_example*")) == []
    told = here.run("prodmatch validate both.toml", work, code=2)
    assert 'member[1].encoder.use: unknown encoder "example.maxsim"' in told
    assert 'member[1].loss[1].use: unknown loss "example.pairwise"' in told
    assert 'unknown encoder "example.maxsim"' in here.run(
        "prodmatch score runs/both pairs.csv -o x.csv", work, code=2
    )


def test_two_distributions_that_claim_one_name_are_both_named(
    author: Callable[[], Environment], tmp_path: Path, wheels: dict[str, Path], work: Path
) -> None:
    here, folder = author(), tmp_path / "rival"
    create(NewPlugin("rival", "loss"), tmp_path)
    source = folder / "src" / "prodmatch_rival" / "plugin.py"
    source.write_text(source.read_text().replace('name="rival.sharp"', 'name="example.pairwise"'))
    plugins_of_the_run = [wheel for name, wheel in wheels.items() if name != "prodmatch-core"]
    here.install(*plugins_of_the_run, *build_wheels([folder], tmp_path))
    told = here.run("prodmatch validate both.toml", work, code=2)
    assert told == (
        "both.toml: 1 problem\n"
        '  member[1].loss[1].use: loss "example.pairwise" is claimed by prodmatch-example 0.1.0 '
        "(prodmatch_example.plugin) and prodmatch-rival 0.1.0 (prodmatch_rival.plugin). Uninstall one of them, or "
        "disable one: PRODMATCH_DISABLE_PLUGINS=prodmatch-rival\n"
    )
    here.run("PRODMATCH_DISABLE_PLUGINS=prodmatch-rival prodmatch validate both.toml", work)
    here.run("pip uninstall -q -y prodmatch-rival && prodmatch validate both.toml", work)
