"""Every part of the core keeps the laws of its kind, in more settings than its record's example."""

from __future__ import annotations

from prodmatch_core.testing import Case, parametrize_parts

TOWERS = {"mode": "two_tower"}


@parametrize_parts(
    "prodmatch-core",
    variants={
        "core.ngram": [TOWERS],
        "core.transformer": [TOWERS, {"pooling": "cls", "overlap_flags": False}],
        "core.random_negatives": [{"per_positive": 2.5, "weight": 0.5}],
        "core.mined_negatives": [
            {"miner": "self", "refresh_every": 2},
            {"per_positive": 2, "sampling": "score"},
        ],
        "core.cross_entropy": [{"label_smoothing": 0.1}],
        "core.focal": [{"gamma": 0.5}],
        "core.metric": [{"loss": "ContrastiveLoss"}, {"loss": "TripletMarginLoss"}, {"loss": "NTXentLoss"}],
        "core.uniform_sampler": [{"fanouts": [3, 2, 2]}],
        "core.threshold": [{"objective": "precision", "target": 0.8}, {"objective": "macro_f1"}],
        "core.crowdflower": [{"scheme": "binary"}],
        "core.homedepot": [{"scheme": "graded"}],
    },
)
def test_conformance(case: Case) -> None:
    case.run()
