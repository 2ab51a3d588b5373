"""Entry points are found as `importlib.metadata` finds them, only faster."""

from __future__ import annotations

import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from prodmatch_core import plugins
from prodmatch_core.installed import EntryPoint, entry_points


def install(folder: Path, name: str, version: str, points: str, more: str = "") -> Path:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}\nName: not-a-header\n"
    )
    (info / "entry_points.txt").write_text(points)
    return info


@pytest.mark.parametrize("group", ["prodmatch", "console_scripts", "pytest11"])
def test_same_points_as_importlib_metadata_on_this_machine(group: str) -> None:
    expected = {
        (point.dist.metadata["Name"], point.dist.version, point.name, point.value)
        for point in metadata.entry_points(group=group)
        if point.dist is not None
    }
    found = {(p.distribution, p.version, p.name, p.value) for p in entry_points(group)}
    assert expected <= found


def test_same_requirements_as_importlib_metadata_on_this_machine() -> None:
    for point in entry_points("pytest11"):
        assert list(point.requires) == (metadata.requires(point.distribution) or [])


def test_first_on_the_path_wins(tmp_path: Path) -> None:
    install(tmp_path / "first", "prodmatch-one", "1.0", "[prodmatch]\nmain = one.plugin\n")
    install(tmp_path / "second", "prodmatch-one", "2.0", "[prodmatch]\nmain = one.plugin\nmore = one.more\n")
    install(tmp_path / "second", "prodmatch-two", "2.0", "[prodmatch]\nmain = two.plugin\n")
    found = entry_points("prodmatch", [str(tmp_path / "first"), str(tmp_path / "second")])
    assert [(p.distribution, p.version, p.name) for p in found] == [
        ("prodmatch-one", "1.0", "main"),
        ("prodmatch-one", "2.0", "more"),
        ("prodmatch-two", "2.0", "main"),
    ]


def test_other_groups_comments_and_blanks_are_passed_over(tmp_path: Path) -> None:
    install(
        tmp_path,
        "prodmatch-one",
        "1.0",
        "# prodmatch\n[console_scripts]\nx = y:z\n\n[ prodmatch ]\n; off = one.off\nmain=one.plugin\n[other]\na = b\n",
        "Requires-Dist: numpy>=1\nRequires-Dist: prodmatch-core<0.2,>=0.1\n",
    )
    assert list(entry_points("prodmatch", [str(tmp_path)])) == [
        EntryPoint("main", "one.plugin", "prodmatch-one", "1.0", ("numpy>=1", "prodmatch-core<0.2,>=0.1"))
    ]


def test_places_that_hold_nothing_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "old.egg-info").write_text("Name: old\n")
    (tmp_path / "empty-1.0.dist-info").mkdir()
    (tmp_path / "file").write_text("")
    places = [str(tmp_path), str(tmp_path / "absent"), str(tmp_path / "file")]
    assert list(entry_points("prodmatch", places)) == []


def test_distributions_in_a_zip_file_are_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("one-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: one\nVersion: 1.0\n")
        archive.writestr("one-1.0.dist-info/entry_points.txt", "[prodmatch]\nmain = one.plugin\n")
    (point,) = entry_points("prodmatch", [str(tmp_path / "all.zip")])
    assert (point.name, point.value, point.distribution, point.version) == (
        "main",
        "one.plugin",
        "one",
        "1.0",
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("os.path", "posixpath ntpath"),
        ("os:path", "posixpath ntpath"),
        ("collections:OrderedDict [x]", "OrderedDict"),
    ],
)
def test_point_loads_a_module_or_an_attribute(value: str, expected: str) -> None:
    assert EntryPoint("main", value, "d", "1").load().__name__ in expected.split()


def test_discovery_puts_the_core_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "prodmatch-acme", "1.0", "[prodmatch]\nacme = acme.plugin\n")
    install(tmp_path, plugins.CORE, "0.1", "[prodmatch]\ncore = prodmatch_core.builtin.plugin\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert [state.key for _, state in plugins.discover()] == ["prodmatch-core:core", "prodmatch-acme:acme"]
