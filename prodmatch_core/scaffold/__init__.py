"""A new plugin as a folder of files that work: distribution, part, pipeline, tests.

The files are templates of the standard library (`string.Template`) in `templates/`: those in `common` for every kind,
and one folder a kind. Nothing is imported that `prodmatch --help` would not import.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

import attrs

import prodmatch_core
from prodmatch_core.errors import ConfigError
from prodmatch_core.records import PART_KINDS

TEMPLATES = Path(__file__).parent / "templates"
LONGEST = 30
"Characters of a name; longer ones would not fit the lines of the templates."
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@attrs.frozen
class Starter:
    """The part that a new plugin of some kind begins with."""

    module: str
    "Module that holds it, and its name after the dot."
    summary: str
    "What the record says of it."
    dependencies: tuple[str, ...]
    "What its module imports, beside the core."


STARTERS: Mapping[str, Starter] = {
    "encoder": Starter("words", "The mean of a text's word vectors.", ("numpy>=1.26", "torch>=2.4")),
    "negative-generator": Starter(
        "judged", "Judged products of other queries, popular ones more often.", ("numpy>=1.26",)
    ),
    "loss": Starter("sharp", "How far the true class's probability is from 1, to a power.", ("torch>=2.4",)),
    "graph-sampler": Starter(
        "weighted",
        "Neighbours in proportion to the weight of their edges, none twice.",
        ("numpy>=1.26", "safetensors>=0.4.5", "torch>=2.4"),
    ),
    "aggregator": Starter("median", "The members' median, class by class.", ("numpy>=1.26",)),
    "calibrator": Starter(
        "smoothing", "Draws probabilities towards even odds, as far as validation asks for.", ("numpy>=1.26",)
    ),
    "dataset": Starter("pairs", "Judged pairs from a tab-separated file.", ("polars>=1.24",)),
    "measure": Starter("sure_errors", "Share of pairs that are decided wrongly and surely.", ()),
    "command": Starter(
        "closest", "Show the test pairs that a run could hardly decide.", ("click>=8.1", "polars>=1.24")
    ),
}
"kind -> what a new plugin of that kind begins with."
assert STARTERS.keys() == PART_KINDS.keys()


@attrs.frozen
class NewPlugin:
    """What a new plugin is called in each of the places that name it."""

    name: str
    kind: str

    @property
    def distribution(self) -> str:
        """Return what `pip` calls it."""
        return self.name if self.name.startswith("prodmatch-") else f"prodmatch-{self.name}"

    @property
    def package(self) -> str:
        """Return what Python imports."""
        return self.distribution.replace("-", "_")

    @property
    def point(self) -> str:
        """Return the entry point, which is the first word of its parts' names."""
        return self.package.removeprefix("prodmatch_")

    @property
    def part(self) -> str:
        """Return the name of the part it begins with."""
        if self.kind == "command":
            return self.point.replace("_", "-")
        return f"{self.point}.{STARTERS[self.kind].module}"

    @property
    def words(self) -> dict[str, str]:
        """Return what the templates' placeholders stand for."""
        starter = STARTERS[self.kind]
        pipeline = f"pipelines/{self.point}.toml"
        run = f"prodmatch run {pipeline}"
        return {
            "name": self.name,
            "distribution": self.distribution,
            "package": self.package,
            "point": self.point,
            "part": self.part,
            "module": starter.module,
            "summary": starter.summary,
            "try_it": f"{run}\n    prodmatch {self.part} runs/{self.name}" if self.kind == "command" else run,
            "dependencies": ", ".join(
                f'"{text}"' for text in sorted(["attrs>=24.2", core_range(), *starter.dependencies])
            ),
        }


def core_range(version: str | None = None) -> str:
    """Return the requirement on the core of a plugin that is written against `version` of it, by default this one.

    Before 1.0, a minor version may break plugins; from then on, only a major one.
    """
    version = prodmatch_core.__version__ if version is None else version
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if version == prodmatch_core.UNINSTALLED or numbers is None:
        return "prodmatch-core"
    major, minor = int(numbers[1]), int(numbers[2])
    return f"prodmatch-core>={major}.{minor},<{f'0.{minor + 1}' if major == 0 else major + 1}"


def create(plugin: NewPlugin, into: Path) -> list[Path]:
    """Write the files of a new plugin to the folder `into / plugin.name` and return their paths, sorted.

    The folder is there whole or not at all.

    Raises:
        ConfigError: the name is none for a plugin, or there is such a file or folder already, or none can be made.
    """
    check_name(plugin.name)
    folder = into / plugin.name
    if folder.exists() or folder.is_symlink():
        raise ConfigError(
            f"{folder}: is there already. Choose another name, or another folder with --into DIR."
        )
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{plugin.name}.", dir=into) as draft:
            written = [path.relative_to(draft) for path in _write(plugin, Path(draft))]
            shutil.copytree(draft, folder)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be made: {error.strerror or error}. Choose another folder with --into DIR."
        ) from error
    return sorted(folder / path for path in written)


def check_name(name: str) -> None:
    """Raise ConfigError unless `name` is one for a plugin; the message proposes one."""
    if _NAME.fullmatch(name) and len(name) <= LONGEST and name not in ("core", "prodmatch", "prodmatch-core"):
        return
    tame = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()).lstrip(
        "-0123456789"
    )
    tame = "-".join(word for word in tame[:LONGEST].split("-") if word)
    if tame in ("", "core", "prodmatch", "prodmatch-core"):
        tame = "acme-reranker"
    raise ConfigError(
        f'"{name}" is no name for a plugin: lower-case words and digits, joined by "-", {LONGEST} characters at the '
        f'most, like "{tame}"'
    )


def _write(plugin: NewPlugin, folder: Path) -> Iterator[Path]:
    """Write the files of a plugin and yield their paths."""
    for source, target in _files(plugin):
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        text = Template(source.read_text(encoding="utf-8")).substitute(plugin.words)
        path.write_text(text, encoding="utf-8", newline="\n")
        yield path
    empty = folder / "src" / plugin.package / "__init__.py"
    empty.touch()
    yield empty


def _files(plugin: NewPlugin) -> Iterator[tuple[Path, Path]]:
    """Yield each template and the path of the file it becomes."""
    for base in (TEMPLATES / "common", TEMPLATES / plugin.kind):
        for source in sorted(base.rglob("*.in")):
            target = source.relative_to(base).with_suffix("")
            if target.parts[0] == "src":
                target = Path("src", plugin.package, *target.parts[1:])
            elif target.name == "pipeline.toml":
                target = target.with_name(f"{plugin.point}.toml")
            elif target.name == "gitignore":
                target = Path(".gitignore")
            yield source, target
