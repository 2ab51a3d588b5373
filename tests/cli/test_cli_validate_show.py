"""`validate`, `show`: sound files, and what is wrong with the others."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from fake_parts import BASE, fake_registry
from prodmatch_core.config import load_pipeline


def test_valid_file_is_one_sentence(invoke) -> None:
    result = invoke("validate", "p.toml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "p.toml: valid: 1 member (text), data fake.files\n"


def test_valid_file_with_all_sections_names_them(invoke) -> None:
    Path("p.toml").write_text(
        BASE
        + '[[member]]\nname = "trees"\nencoder.use = "fake.trees"\n[aggregator]\nuse = "fake.mean"\n'
        + '[[calibrator]]\nuse = "fake.scale"\n[[calibrator]]\nuse = "fake.reject"\n'
    )
    assert invoke("validate", "p.toml").stdout == (
        "p.toml: valid: 2 members (text, trees), data fake.files, aggregator fake.mean, "
        "calibrators fake.scale, fake.reject\n"
    )


def test_valid_file_as_json(invoke) -> None:
    assert json.loads(invoke("validate", "p.toml", "--json").stdout) == {
        "file": "p.toml",
        "valid": True,
        "name": "demo",
        "task": "match",
        "data": "fake.files",
        "members": ["text"],
        "aggregator": None,
        "calibrators": [],
    }


def test_invalid_file_tells_every_problem_and_exits_2(invoke) -> None:
    Path("p.toml").write_text(BASE + 'loss = [{ use = "fake.margin", margin = "high" }]\n[extra]\n')
    result = invoke("validate", "p.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "p.toml: 2 problems\n"
        "  extra: unknown key; known: aggregator, calibrator, convert, data, evaluation, member, pipeline, relate\n"
        '  member[0].loss[0].margin: expected a number between 0 and 1, got "high"\n'
    )


def test_setting_can_mend_a_file(invoke) -> None:
    Path("p.toml").write_text(BASE.replace("fake.text", "fake.txt"))
    assert invoke("validate", "p.toml").exit_code == 2
    assert invoke("validate", "p.toml", "--set", "member.0.encoder.use=fake.text").exit_code == 0


def test_shown_file_is_the_same_pipeline_again(invoke, stand_in) -> None:
    stand_in("prodmatch_core.report.drawing", draw_text=lambda pipeline: "[data] -> [text]\n")
    shown = invoke("show", "p.toml", "--set", "pipeline.seed=7").stdout
    assert load_pipeline(tomllib.loads(shown), registry=fake_registry()) == load_pipeline(
        "p.toml", ["pipeline.seed=7"], fake_registry()
    )
    assert '\n[pipeline]\nname = "demo"\ntask = "match"\nseed = 7\n' in shown
    assert shown.endswith("\n# [data] -> [text]\n")


def test_shown_json_is_the_same_pipeline_again(invoke) -> None:
    tree = json.loads(invoke("show", "p.toml", "--json").stdout)
    assert load_pipeline(tree, registry=fake_registry()) == load_pipeline("p.toml", (), fake_registry())


def test_show_of_a_broken_file_is_like_validate(invoke) -> None:
    Path("p.toml").write_text("")
    shown, validated = invoke("show", "p.toml"), invoke("validate", "p.toml")
    assert (shown.exit_code, shown.stderr) == (validated.exit_code, validated.stderr)
