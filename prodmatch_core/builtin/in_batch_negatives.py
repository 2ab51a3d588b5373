"""`core.in_batch_negatives`: products of other rows of the batch, popular ones more often."""

from __future__ import annotations

from typing import Self

import attrs
import numpy as np

from prodmatch_core.builtin.configs import NegativesConfig
from prodmatch_core.builtin.product_pool import NegativeDrawer
from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.negatives import RowGenerator
from prodmatch_core.data.corpus import Examples


@attrs.frozen(eq=False)
class InBatchNegatives(RowGenerator):
    """Pairs the queries of matching examples with other rows' products that they are not judged with."""

    drawer: NegativeDrawer

    @classmethod
    def build(cls, config: NegativesConfig, data: FitData) -> Self:
        """Make the generator; it knows the labelled pairs of every split `data` shows."""
        return cls(NegativeDrawer.build(config, data))

    def propose(self, batch: Examples, rng: np.random.Generator) -> Examples:
        """Return negatives for the matching examples of `batch`, each pair once."""
        return self.drawer.propose(batch, self.drawer.pool(batch.product), rng)
