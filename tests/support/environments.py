"""Throw-away environments in which distributions are really installed: no editable repository, no registry.

Heavy dependencies are lent by the environment that runs the tests: a folder of links to its packages, without those of
this repository, is put on the new environment's path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

import attrs

OURS = ("prodmatch", "_editable", "__editable__", "__pycache__")
"What names of packages that are not lent begin with."


@attrs.frozen
class Environment:
    """A virtual environment under a folder of its own."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, *more: Path) -> Environment:
        """Make an environment with the dependencies lent, and the packages in the folders `more`."""
        venv.create(folder, symlinks=True, with_pip=False)
        made = cls(folder)
        lent = folder / "lent"
        lent.mkdir()
        for place in dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))):
            for entry in Path(place).iterdir():
                if not entry.name.startswith(OURS) and entry.suffix != ".pth":
                    (lent / entry.name).symlink_to(entry)
        (made.site / "lent.pth").write_text("".join(f"{path}\n" for path in (*more, lent)))
        for name, module in (("pip", "pip"), ("pytest", "pytest"), ("prodmatch", "prodmatch_core")):
            script = folder / "bin" / name
            script.write_text(f'#!/bin/sh\nexec "{made.python}" -m {module} "$@"\n')
            script.chmod(0o755)
        return made

    @property
    def python(self) -> Path:
        """Return the interpreter."""
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        """Return where packages are installed."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    def run(self, command: str, cwd: Path, code: int = 0) -> str:
        """Run a shell command as someone would who has activated the environment, and return what it printed.

        The exit code must be `code`; with 0, only standard output is returned, so that warnings are no part of it.
        """
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PRODMATCH"))
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=cwd,
            env={
                **kept,
                "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "VIRTUAL_ENV": str(self.folder),
                "PIP_NO_INDEX": "1",
                "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this option's variable the other way round
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "PIP_ROOT_USER_ACTION": "ignore",
            },
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == code, (
            f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout if code == 0 else done.stdout + done.stderr

    def install(self, *wheels: Path) -> None:
        """Install wheels, replacing what is installed under their names."""
        self.run(f"pip install -q {' '.join(map(str, wheels))}", self.folder)


def build_wheels(projects: Sequence[Path], folder: Path, version: str | None = None) -> list[Path]:
    """Build wheels, in the order of the projects, from copies so that nothing is left in them.

    `version` replaces the projects' own.
    """
    work = Path(tempfile.mkdtemp(dir=folder))
    copies = [work / project.name for project in projects]
    for project, copy in zip(projects, copies, strict=True):
        shutil.copytree(project, copy, ignore=_leave_out)
        if version is not None:
            file = copy / "pyproject.toml"
            lines = file.read_text(encoding="utf-8").splitlines()
            changed = [f'version = "{version}"' if line.startswith("version = ") else line for line in lines]
            file.write_text("\n".join(changed) + "\n", encoding="utf-8")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "-w", str(work / "wheels"), *map(str, copies)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    built = {wheel.name.partition("-")[0]: wheel for wheel in (work / "wheels").glob("*.whl")}
    return [built[name_of(project).replace("-", "_")] for project in projects]


def name_of(project: Path) -> str:
    """Return the name of the distribution in a folder."""
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]


def _leave_out(folder: str, names: list[str]) -> list[str]:
    """Leave out of a project's top folder what is large and no part of a wheel; caches everywhere."""
    top = (
        {"tests", "docs", "benchmarks", "runs", "plugins", "contrib"} if "pyproject.toml" in names else set()
    )
    hidden = {name for name in names if name.startswith(".") and name != ".gitignore"}
    return [name for name in names if name in top | hidden | {"__pycache__"}]


def lay_out_wheel(wheel: Path, folder: Path) -> Path:
    """Unpack a wheel into a folder that several environments share, as installers do, and return the folder."""
    shutil.unpack_archive(wheel, folder, format="zip")
    return folder
