"""Where a run's figures come from: what is needed to get them again."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import Any

import attrs

from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.evaluation.ranked import TIE_RULES
from prodmatch_core.registry import Registry
from prodmatch_core.rundir import FORMAT
from prodmatch_core.sections import Evaluation
from prodmatch_core.stages import versions

LIBRARIES = ("torch", "transformers", "numpy", "polars", "scikit-learn", "lightgbm", "dgl")
"Libraries whose versions are noted where they are installed, beside every plugin's."


def provenance(
    registry: Registry, scheme: LabelScheme, seed: int, fingerprint: str, evaluation: Evaluation
) -> dict[str, Any]:
    """Return versions, seed, data fingerprint, gain profile, tie rule and machine, as plain JSON values."""
    import torch

    plugins = {plugin.distribution for plugin in registry.plugins if plugin.state == "ok"}
    found = versions([*plugins, *LIBRARIES])
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "fingerprint": fingerprint,
        "scheme": attrs.asdict(scheme),
        "distributions": {name: version for name, version in found.items() if version != "absent"},
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "device": "cuda" if torch.cuda.is_available() else "cpu",
        },
        "gain_profile": evaluation.gain_profile,
        "ties": evaluation.ties,
        "tie_rule": TIE_RULES[evaluation.ties],
        "warnings": registry.problems(),
    }
