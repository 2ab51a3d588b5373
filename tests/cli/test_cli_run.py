"""`run` and `report`: what reaches the runner, and what the user sees at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prodmatch_core.errors import DataError

METRICS = {
    "name": "demo",
    "headline": "macro_f1",
    "lines": [
        {
            "name": "majority class",
            "measures": {"macro_f1": {"value": 0.2, "low": 0.19, "high": 0.21}, "kappa": {"value": 0.0}},
        },
        {
            "name": "pipeline",
            "measures": {
                "macro_f1": {"value": 0.6, "low": 0.55, "high": 0.65},
                "accuracy": {"value": 0.75, "low": None, "high": None},
                "nll": {"value": None, "low": None, "high": None},
                "kappa": {"value": 0.4, "low": 0.3, "high": 0.5},
            },
        },
    ],
}


class FakeRun:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = METRICS


@pytest.fixture
def calls(stand_in: Callable[..., None]) -> list[dict[str, Any]]:
    """Put a runner in place that records how it is called, and return the record."""
    seen: list[dict[str, Any]] = []

    def run_pipeline(pipeline: Any, **options: Any) -> FakeRun:
        seen.append({"pipeline": pipeline, **options})
        options["reporter"].stage("load")
        return FakeRun(options["out"])

    stand_in("prodmatch_core.runner", run_pipeline=run_pipeline)
    return seen


def test_run_ends_with_the_table_and_the_reports_path(invoke, calls) -> None:
    result = invoke("run", "p.toml")
    assert result.exit_code == 0
    assert result.stdout == (
        "                            macro_f1  accuracy  nll\n"
        "majority class  0.200 [0.190, 0.210]         -    -\n"
        "pipeline        0.600 [0.550, 0.650]     0.750    -\n"
        "report: runs/demo/report.html\n"
    )


def test_progress_goes_to_stderr(invoke, calls) -> None:
    assert invoke("run", "p.toml").stderr == "load\n"


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_quiet_and_json_tell_no_progress(invoke, calls, option: str) -> None:
    assert invoke("run", "p.toml", option).stderr == ""


def test_json_is_the_content_of_metrics_json(invoke, calls) -> None:
    assert json.loads(invoke("run", "p.toml", "--json").stdout) == METRICS


def test_default_directory_is_the_next_free_name(invoke, calls) -> None:
    Path("runs/demo").mkdir(parents=True)
    Path("runs/demo-2").mkdir()
    invoke("run", "p.toml")
    assert calls[0]["out"] == Path("runs/demo-3")


def test_overwrite_without_out_replaces_the_run_of_that_name(invoke, calls) -> None:
    Path("runs/demo").mkdir(parents=True)
    invoke("run", "p.toml", "--overwrite")
    assert (calls[0]["out"], calls[0]["overwrite"]) == (Path("runs/demo"), True)


def test_out_is_taken_as_given(invoke, calls) -> None:
    Path("here").mkdir()
    invoke("run", "p.toml", "--out", "here")
    assert (calls[0]["out"], calls[0]["overwrite"]) == (Path("here"), False)


def test_settings_reach_the_pipeline(invoke, calls) -> None:
    invoke("run", "p.toml", "--set", "pipeline.seed=5", "--set", "data.split.valid=0.3")
    assert calls[0]["pipeline"].pipeline.seed == 5
    assert calls[0]["context"].split.valid == 0.3


def test_paths_start_from_the_pipeline_files_folder(invoke, calls) -> None:
    Path("sub").mkdir()
    Path("p.toml").rename("sub/p.toml")
    invoke("run", "sub/p.toml", "--skip-bad-rows")
    context = calls[0]["context"]
    assert (context.root, context.base, context.skip_bad_rows) == (None, Path("sub"), True)


def test_data_folder_is_given_by_option_before_environment(
    invoke, calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a").mkdir()
    Path("b").mkdir()
    monkeypatch.setenv("PRODMATCH_DATA", "a")
    invoke("run", "p.toml")
    invoke("run", "p.toml", "--data", "b")
    assert [call["context"].root for call in calls] == [Path("a"), Path("b")]


def test_data_folder_that_is_none_is_wrong_usage(invoke, calls, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("run", "p.toml", "--data", "absent").exit_code == 2
    monkeypatch.setenv("PRODMATCH_DATA", "absent")
    result = invoke("run", "p.toml")
    assert (result.exit_code, result.stderr) == (
        2,
        "PRODMATCH_DATA=absent: is not a folder. Correct the variable, or give --data DIR.\n",
    )
    assert calls == []


def test_broken_file_never_reaches_the_runner(invoke, calls) -> None:
    assert invoke("run", "p.toml", "--set", "member.0.encoder.width=0").exit_code == 2
    assert calls == []


def test_failed_work_exits_1(invoke, stand_in) -> None:
    def run_pipeline(*args: Any, **options: Any) -> None:
        raise DataError("pairs.csv: line 3: no title.")

    stand_in("prodmatch_core.runner", run_pipeline=run_pipeline)
    result = invoke("run", "p.toml", "--quiet")
    assert (result.exit_code, result.stderr) == (1, "pairs.csv: line 3: no title.\n")


def test_report_renders_again_and_prints_the_path(invoke, registry, stand_in) -> None:
    seen = []

    def write_report(run: Any, registry: Any) -> Path:
        seen.append((run.path, registry))
        return run.path / "report.html"

    stand_in("prodmatch_core.report.page", write_report=write_report)
    Path("demo").mkdir()
    Path("demo/provenance.json").write_text('{"format": 1}')
    result = invoke("report", "demo")
    assert (result.exit_code, result.stdout) == (0, "demo/report.html\n")
    assert seen == [(Path("demo"), registry)]


def test_report_of_a_folder_that_is_no_run(invoke, stand_in) -> None:
    stand_in("prodmatch_core.report.page", write_report=None)
    result = invoke("report", "absent")
    assert result.exit_code == 1
    assert result.stderr == (
        "absent: is not a run directory (no provenance.json); name the folder `prodmatch run` printed.\n"
    )
