"""The shop as a data set part: `shop.synthetic`."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.folder import read_folder
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop, write_shop

HELD = 200_000
"Judgements of the largest shop that is made in memory."


def read(config: ShopConfig, context: ReadContext, held: int = HELD) -> Dataset:
    """Return the shop that `config` describes; it brings its own splits and needs no file.

    A shop of more than `held` judgements is made on disk, in the folder for temporary files, and read back: so
    no table is in memory twice, and the truth, which is as large as the tables, stays on disk for as long as
    the data set lives. Its tables and fingerprint are the same either way.

    Raises:
        OSError: the folder for temporary files has too little room (some 250 bytes a judgement); TMPDIR names
            another.
    """
    if config.size <= held:
        return make_shop(config)
    place = Path(tempfile.mkdtemp(prefix="prodmatch-shop-"))
    try:
        write_shop(config, place / "shop")
        dataset = read_folder(place / "shop")
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    # Copies of the data set share its truth, so the files go when nobody holds that any more.
    weakref.finalize(dataset.truth, shutil.rmtree, place, ignore_errors=True)
    return dataset
