"""What members said along a course: figures by hour and by day, and how far a method comes from vanilla to oracle."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import attrs
import numpy as np
import polars as pl
from safetensors.numpy import load_file

from prodmatch_core.rundir import Run

LEAST = 1e-12


@attrs.frozen(eq=False)
class Said:
    """One member's predictions of the test events: `said` (n,) P(conversion), `converted` (n,) bool, `hour` (n,)."""

    member: str
    method: str
    said: np.ndarray
    converted: np.ndarray
    hour: np.ndarray

    @property
    def nll(self) -> np.ndarray:
        """Return each event's log loss, (n,) float64 nats."""
        p = np.clip(np.where(self.converted, self.said, 1 - self.said), LEAST, 1)
        return -np.log(p)

    def by(self, digits: int) -> pl.DataFrame:
        """Return figures by the first `digits` characters of the hour: 10 for days, 13 for hours.

        Columns: member, when, events, converted, stated (means), nll, roc_auc and average_precision (null where all
        or none converted).
        """
        from sklearn.metrics import average_precision_score, roc_auc_score

        rows = []
        when = np.array([hour[:digits] for hour in self.hour])
        names, first = np.unique(when, return_index=True)
        nll = self.nll
        for name, place in zip(names, np.split(np.arange(len(when)), first[1:]), strict=True):
            told, p = self.converted[place], self.said[place]
            both = bool(told.any()) and not told.all()
            rows.append(
                {
                    "member": self.member,
                    "when": str(name),
                    "events": len(place),
                    "converted": float(told.mean()),
                    "stated": float(p.mean()),
                    "nll": float(nll[place].mean()),
                    "roc_auc": float(roc_auc_score(told, p)) if both else None,
                    "average_precision": float(average_precision_score(told, p)) if both else None,
                }
            )
        return pl.DataFrame(rows, infer_schema_length=None)


def said_by(run: Run) -> list[Said]:
    """Return what each member said of the test events, in order of time."""
    rows = run.predictions.filter(pl.col("split") == "test")
    tree = tomllib.loads((run.path / "resolved.toml").read_text(encoding="utf-8"))
    converted = (rows["label"] == run.scheme.labels[0]).to_numpy()
    found = []
    for member in tree["member"]:
        file = run.path / "members" / member["name"] / "predictions.safetensors"
        method = next((loss["method"] for loss in member["loss"] if loss["use"] == "delayed.importance"), "")
        said = load_file(file)["test"][:, 0]
        found.append(Said(member["name"], method, said, converted, rows["hour"].to_numpy()))
    return found


def relative(lines: list[Said]) -> Mapping[str, float]:
    """Return each member's place between `vanilla` (0) and `oracle` (1) by log loss.

    Empty without the two, or where the oracle is no better: then there is no scale to stand on.
    """
    nll = {line.method: float(line.nll.mean()) for line in lines}
    if not {"vanilla", "oracle"} <= nll.keys() or nll["vanilla"] <= nll["oracle"]:
        return {}
    whole = nll["vanilla"] - nll["oracle"]
    return {line.member: (nll["vanilla"] - float(line.nll.mean())) / whole for line in lines}
