"""The laws of the house, one test each. Laws 7 and 8 are held where the runner and its stages are tested."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import generate
from fake_parts import BASE, fake_registry
from prodmatch_core import hookspecs
from prodmatch_core.cli import cli
from prodmatch_core.config import load_pipeline
from prodmatch_core.errors import ConfigError
from prodmatch_core.partdocs import described
from prodmatch_core.plugins import PluginState
from prodmatch_core.records import PART_KINDS, EncoderSpec
from prodmatch_core.registry import Registry
from source_trees import CORE, ROOT, calls, imports, plugin_packages, product_trees, trees

HEAVY = [
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "dgl",
    "lightgbm",
    "polars",
    "numpy",
    "scipy",
    "sklearn",
    "numba",
    "matplotlib",
    "jinja2",
    "safetensors",
    "rich",
    "ir_measures",
    "pytorch_metric_learning",
]
"More than the law names: whatever is slow to import stays out of the commands that only look."


def test_law_1_core_imports_no_plugin_and_plugins_never_each_other() -> None:
    broken = [
        f"{path}:{line} imports {name}"
        for folder in (CORE, *plugin_packages())
        for path, tree in trees(folder)
        for line, name in imports(tree)
        if name.startswith("prodmatch_") and name.partition(".")[0] not in {"prodmatch_core", folder.name}
    ]
    assert broken == []


def _modules_after(code: str, *arguments: str) -> tuple[int, set[str]]:
    """Run `code` in a new process and return its exit code and the top-level modules it has imported."""
    script = (
        "import sys, atexit\n"
        "def tell():\n"
        "    sys.stderr.write('MODULES ' + ' '.join({m.partition('.')[0] for m in sys.modules}) + '\\n')\n"
        "atexit.register(tell)\n" + code
    )
    paths = [str(ROOT), str(ROOT / "tests" / "support"), *(str(p.parent) for p in plugin_packages())]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("MODULES "), done.stderr
    return done.returncode, set(last.split()[1:])


INSTALLED = "from prodmatch_core.cli import main; main()"
FAKE = (
    "from fake_parts import fake_registry; from prodmatch_core.cli import cli;"
    "cli.main(sys.argv[1:], obj=fake_registry())"
)


@pytest.mark.parametrize(
    ("code", "arguments", "exit_code"),
    [
        (INSTALLED, ["--help"], 0),
        (INSTALLED, ["--version"], 0),
        (INSTALLED, ["plugins"], 0),
        (INSTALLED, ["plugins", "--json"], 0),
        (INSTALLED, ["validate", "absent.toml"], 2),
        (FAKE, ["--help"], 0),
        (FAKE, ["plugins", "show", "fake.text"], 0),
        (FAKE, ["validate", "FILE"], 0),
        (FAKE, ["validate", "FILE", "--set", "member.0.encoder.width=0", "--json"], 2),
    ],
)
def test_law_2_looking_imports_nothing_heavy(
    tmp_path: Path, code: str, arguments: list[str], exit_code: int
) -> None:
    file = tmp_path / "p.toml"
    file.write_text(BASE)
    code_got, modules = _modules_after(code, *(str(file) if a == "FILE" else a for a in arguments))
    assert code_got == exit_code
    assert sorted(modules & set(HEAVY)) == []


def test_law_3_everything_wrong_with_a_file_is_told_at_once_before_any_work() -> None:
    other = PluginState("other", "prodmatch-other", "2.0", "prodmatch_other.plugin")
    other.records.append(EncoderSpec(name="fake.trees", summary="Mine.", factory="other:Trees"))
    tree = {
        "pipeline": {"name": "demo", "sead": 3},
        "data": {"use": "fake.files", "path": "a.csv", "rows": "many"},
        "member": [
            {"encoder": {"use": "fake.trees"}},
            {"encoder": {"use": "fake.txt"}, "loss": [{"use": "fake.margin", "margin": "high"}]},
            {"encoder": {"use": "fake.graph"}},
        ],
    }
    # No factory of the fake parts can be imported, so an attempt to load one would be another error.
    with pytest.raises(ConfigError) as caught:
        load_pipeline(tree, registry=fake_registry(other))
    assert [(problem.path, problem.message) for problem in caught.value.problems] == [
        ("pipeline.sead", 'unknown key; did you mean "seed"?'),
        ("data.rows", 'expected a whole number of at least 1, got "many"'),
        (
            "member[0].encoder.use",
            'encoder "fake.trees" is claimed by prodmatch-fake 1.2 (prodmatch_fake.plugin) and prodmatch-other '
            "2.0 (prodmatch_other.plugin). Uninstall one of them, or disable one: "
            "PRODMATCH_DISABLE_PLUGINS=prodmatch-other",
        ),
        ("member[1].encoder.use", 'unknown encoder "fake.txt"; did you mean "fake.text"?'),
        ("member[1].loss[0].margin", 'expected a number between 0 and 1, got "high"'),
        ("member[2].encoder.text", "missing; an encoder is required"),
    ]
    tree["pipeline"], tree["data"] = {"name": "demo"}, {"use": "fake.files", "path": "a.csv"}
    tree["member"] = [{"encoder": {"use": "fake.graph", "text": {"use": "fake.text"}}}]
    with pytest.raises(ConfigError, match=r"fake.graph needs engagements .* given by fake.shop"):
        load_pipeline(tree, registry=fake_registry())


def test_law_4_a_plugin_that_fails_is_reported_and_named_and_harms_nothing_else(tmp_path: Path) -> None:
    broken = PluginState("acme", "prodmatch-acme", "0.3", "prodmatch_acme.plugin")
    broken.fail("prodmatch-acme:acme: import of prodmatch_acme.plugin failed: ImportError: no scipy.")
    registry, file = fake_registry(broken), tmp_path / "p.toml"
    file.write_text(BASE)
    listed = CliRunner().invoke(cli, ["plugins"], obj=registry)
    others = CliRunner().invoke(cli, ["validate", str(file)], obj=registry)
    asked = CliRunner().invoke(
        cli, ["validate", str(file), "--set", "member.0.encoder.use=acme.text"], obj=registry
    )
    assert (listed.exit_code, others.exit_code, asked.exit_code) == (0, 0, 2)
    assert broken.problem in listed.stdout
    assert f'encoder "acme.text" is not available: {broken.problem}' in asked.stderr


SEEDED = {"default_rng", "Generator", "SeedSequence", "PCG64", "PCG64DXSM", "Philox", "BitGenerator"}
NEEDS_SEED = {"numpy.random.default_rng", "numpy.random.SeedSequence", "numpy.random.PCG64", "random.Random"}
TORCH_RANDOM = {
    f"torch.{name}" for name in ("rand", "randn", "randint", "randperm", "normal", "multinomial", "bernoulli")
}


def _draws_from_nowhere(call: ast.Call, name: str) -> bool:
    """Whether a call takes randomness from global state or from the clock."""
    if name in NEEDS_SEED:
        return not call.args and not call.keywords
    if name.startswith("numpy.random."):
        return name.split(".")[2] not in SEEDED
    if name.startswith("random."):
        return True
    if name in TORCH_RANDOM:
        return all(keyword.arg != "generator" for keyword in call.keywords)
    return name in {"torch.seed", "uuid.uuid1"}


MAY_TOUCH = Path("prodmatch_core/testing/global_state.py")
"Seeds the process's generators to see whether a part reads them, and puts them back."


def test_law_5_randomness_comes_from_a_generator_that_is_given() -> None:
    broken = [
        f"{path}:{call.lineno} {name}"
        for path, tree in product_trees()
        for call, name in calls(tree)
        if _draws_from_nowhere(call, name) and path != MAY_TOUCH
    ]
    assert broken == []


@pytest.mark.parametrize(
    "code",
    [
        "import numpy as np; np.random.rand(3)",
        "import numpy as np; np.random.default_rng()",
        "from numpy import random; random.shuffle(x)",
        "from numpy.random import default_rng; default_rng()",
        "import random; random.random()",
        "from random import shuffle; shuffle(x)",
        "import torch; torch.randperm(3)",
        "from torch import randn; randn(3)",
    ],
)
def test_law_5s_test_sees_global_randomness(code: str) -> None:
    assert any(_draws_from_nowhere(call, name) for call, name in calls(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "import numpy as np; np.random.default_rng(seed)",
        "import torch; torch.randperm(3, generator=g)",
        "def f(rng): rng.random(3); rng.shuffle(x)",
    ],
)
def test_law_5s_test_lets_given_generators_pass(code: str) -> None:
    assert not any(_draws_from_nowhere(call, name) for call, name in calls(ast.parse(code)))


EXECUTING = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def _executes_on_loading(tree: ast.Module) -> list[str]:
    """Return what in a module could run code that a saved file holds."""
    found = [f"{line} imports {name}" for line, name in imports(tree) if name.partition(".")[0] in EXECUTING]
    for call, name in calls(tree):
        allow = [k for k in call.keywords if k.arg == "allow_pickle" and not _is_false(k.value)]
        if (
            name in {"torch.load", "torch.save", "eval", "exec", "yaml.load"}
            or name.endswith("read_pickle")
            or allow
        ):
            found.append(f"{call.lineno} calls {name}")
    return found


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_law_6_loading_executes_nothing() -> None:
    broken = [f"{path}:{found}" for path, tree in product_trees() for found in _executes_on_loading(tree)]
    assert broken == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "def f():\n    import dill",
        "import torch; torch.load(p, weights_only=True)",
        "import numpy as np; np.load(p, allow_pickle=True)",
        "import pandas as pd; pd.read_pickle(p)",
    ],
)
def test_law_6s_test_sees_what_executes(code: str) -> None:
    assert _executes_on_loading(ast.parse(code))


@pytest.fixture(scope="module")
def repository() -> Registry:
    """Return the parts of all distributions of this repository."""
    registry = generate.repository_registry()
    assert registry.problems() == []
    return registry


def test_law_9_every_hook_and_part_has_a_page_in_the_reference(repository: Registry) -> None:
    hooks = [f"hooks/{name}" for name in vars(hookspecs) if name.startswith("prodmatch_")]
    parts = [f"parts/{spec.name}" for kind in PART_KINDS for spec in repository.specs(kind)]
    pages = [generate.REFERENCE / f"{name.replace('%', '-percent')}.md" for name in (*hooks, *parts)]
    assert len(pages) > 60
    assert [page.name for page in pages if not page.is_file()] == []


def test_law_9_the_reference_is_what_the_code_says(
    repository: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "repository_registry", lambda: repository)
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


def test_law_9_every_field_of_a_part_is_documented(repository: Registry) -> None:
    silent = [
        f"{spec.name}: {field['name']}"
        for kind in PART_KINDS
        for spec in repository.specs(kind)
        for field in described(spec)["fields"]
        if not field["doc"]
    ]
    assert silent == []
