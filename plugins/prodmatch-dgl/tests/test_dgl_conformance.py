from __future__ import annotations

from prodmatch_core.testing import Case, parametrize_parts


@parametrize_parts(
    "prodmatch-dgl",
    variants={
        "dgl.sage": [{"aggregator": "pool"}],
        "dgl.rgcn": [{"bases": 2}],
        "dgl.neighbor": [{"fanouts": [3, 2, 2]}, {"weighted": True}],
    },
)
def test_conformance(case: Case) -> None:
    case.run()
