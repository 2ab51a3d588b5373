from __future__ import annotations

import attrs
import numpy as np
import polars as pl

from prodmatch_core.components.calibrator import Decisions
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.predictions import frame_of

DECIDED = Decisions.plain(np.full((2, 4), 0.25), np.full(2, np.nan), ESCI)
ROWS = pl.DataFrame({"query_id": ["a", "b"]})


def test_rows_for_a_person_are_told_beside_what_is_accepted() -> None:
    asked = attrs.evolve(DECIDED, for_review=np.array([True, False]))
    frame = frame_of(ROWS, asked, ESCI)
    assert frame.columns[:4] == ["query_id", "decided", "accepted", "for_review"]
    assert frame["for_review"].to_list() == [True, False]


def test_where_no_part_asks_for_a_person_there_is_no_such_column() -> None:
    assert "for_review" not in frame_of(ROWS, DECIDED, ESCI).columns
