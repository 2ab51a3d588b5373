"""Public query-product-label data sets read by name, from the files their competitions handed out."""

from __future__ import annotations

from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.judged import Origin
from prodmatch_core.data.pairs import read_pairs
from prodmatch_core.data.pairs_config import Columns, CrowdflowerConfig, HomeDepotConfig, PairsConfig, Scheme
from prodmatch_core.data.reading import ReadContext

_LICENCE = "competition rules: use, no re-publication"


def read_crowdflower(config: CrowdflowerConfig, context: ReadContext) -> Dataset:
    """Return the CrowdFlower search relevance data set, with the variance of the raters as spread.

    The classes are the medians 4 to 1, with gains 3 to 0. Binary: match is a median of 3 or 4.
    """
    names = config.labels
    if config.scheme == "graded":
        labels = dict(zip("4321", names, strict=True))
        scheme = Scheme(labels=names, positive=names[:2], name="crowdflower")
    else:
        match, mismatch = names
        labels = {"4": match, "3": match, "2": mismatch, "1": mismatch}
        scheme = Scheme(labels=names, name="crowdflower-binary")
    pairs = PairsConfig(
        path=config.path,
        format="csv",
        columns=Columns(
            title="product_title",
            label="median_relevance",
            description="product_description",
            spread="relevance_variance",
        ),
        labels=labels,
        scheme=scheme,
    )
    source = "CrowdFlower Search Results Relevance, Kaggle 2015"
    return read_pairs(pairs, context, Origin("crowdflower", source, _LICENCE, "core.crowdflower"))


def read_homedepot(config: HomeDepotConfig, context: ReadContext) -> Dataset:
    """Return the Home Depot search relevance data set.

    Binary: mismatch is a mean relevance below 2. Graded: perfect from 2.67, partial from 2, irrelevant below;
    the rare means between 2.33 and 2.67 are partial.
    """
    names = config.labels
    if config.scheme == "graded":
        scheme = Scheme(labels=names, positive=names[:2], name="homedepot")
        thresholds = dict(zip(names, (2.67, 2.0, 1.0), strict=True))
    else:
        scheme = Scheme(labels=names, name="homedepot-binary")
        thresholds = dict(zip(names, (2.0, 1.0), strict=True))
    pairs = PairsConfig(
        path=config.path,
        format="csv",
        encoding="ISO-8859-1",
        columns=Columns(
            query="search_term", title="product_title", label="relevance", product_id="product_uid"
        ),
        thresholds=thresholds,
        scheme=scheme,
    )
    source = "Home Depot Product Search Relevance, Kaggle 2016"
    return read_pairs(pairs, context, Origin("homedepot", source, _LICENCE, "core.homedepot"))
