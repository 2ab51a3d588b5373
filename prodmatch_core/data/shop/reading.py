"""The shop as a data set part: `shop.synthetic`."""

from __future__ import annotations

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop


def read(config: ShopConfig, context: ReadContext) -> Dataset:
    """Return the shop that `config` describes; it brings its own splits and needs no file."""
    return make_shop(config)
