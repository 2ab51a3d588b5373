from __future__ import annotations

import attrs
import pytest

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import read_folder
from prodmatch_core.data.shop import generate
from prodmatch_core.data.shop.config import ShopConfig


@attrs.frozen(eq=False)
class LargeShop:
    config: ShopConfig
    dataset: Dataset
    heights: dict[str, int]
    "Rows of the largest part of each table."


@pytest.fixture(scope="session")
def large_shop(tmp_path_factory: pytest.TempPathFactory) -> LargeShop:
    """Return a shop of several parts a table, with more products than 32 bits can number pairs of."""
    config = ShopConfig(size=75_000, seed=3)
    heights: dict[str, int] = {}
    whole = generate.shop_parts

    def watched(config):
        for name, frame in whole(config):
            heights[name] = max(heights.get(name, 0), frame.height)
            yield name, frame

    path = tmp_path_factory.mktemp("large") / "shop"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "shop_parts", watched)
        generate.write_shop(config, path)
    return LargeShop(config, read_folder(path), heights)
