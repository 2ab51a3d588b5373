"""The claims of the papers, and where the evidence pages have the figures that speak to each.

Published figures are constants of the papers named; figures of ours are places in pages (`reading.Cell`).
"""

from __future__ import annotations

from overviews.claims import Claim, Differences, Said, Seeds
from overviews.reading import Cell, Sentence

SIGNALS = ("weak", "medium", "strong")
WAITS = {
    "0.25 h": "First label after 0.25 hours",
    "1 h": "First label after 1 hours",
    "6 h": "First label after 6 hours",
}
GRAPHS = {"Citeseer": "Citeseer, directed", "magazines": "Amazon magazines"}


def _quarts(row: str, sign: int, *columns: str) -> tuple[tuple[Differences, ...], tuple[Differences, ...]]:
    """Return what an arm has less than the classifier: on real data, and on the shop."""

    def of(name: str, heading: str) -> tuple[Differences, ...]:
        return tuple(
            Differences(
                Cell("evidence/quarts.md", (heading,), (row,), f"{column} less the classifier's"),
                f"{name}, {column}",
                sign,
            )
            for column in columns
        )

    real = (*of("Home Depot", "Home Depot"), *of("CrowdFlower", "CrowdFlower"))
    return real, of("shop", "The embedded shop")


def _scarce(row: str) -> tuple[tuple[Differences, ...], tuple[Differences, ...]]:
    """Return what an arm has less than the classifier where few mismatches are kept: on Home Depot, and on the shop."""

    def of(name: str, column: str) -> tuple[Differences, ...]:
        return tuple(
            Differences(
                Cell(
                    "evidence/quarts.md",
                    ("When mismatches are scarce", "Less the classifier's"),
                    (row,),
                    f"{column}, {share}%",
                ),
                f"{name}, {share}%",
            )
            for share in (10, 3, 0)
        )

    return of("Home Depot", "homedepot"), of("shop", "shop")


def _salam(row: str, name: str = "text + graph") -> tuple[tuple[Differences, ...], tuple[Differences, ...]]:
    """Return a difference between two arms: on CrowdFlower, and on the shop."""

    def of(data: str, heading: str) -> tuple[Differences, ...]:
        return tuple(
            Differences(
                Cell("evidence/salam.md", (heading, "Differences"), (f"{name} − {row}",), measure),
                f"{data}, {measure}",
            )
            for measure in ("macro F1", "micro F1")
        )

    return of("CrowdFlower", "CrowdFlower"), of("shop", "The embedded shop")


def _blade(arm: str, against: str, *columns: str) -> tuple[tuple[Differences, ...], tuple[Differences, ...]]:
    """Return an arm less another: on two real graphs, and on the shop's."""

    def of(name: str, heading: str) -> tuple[Differences, ...]:
        return tuple(
            Differences(Cell("evidence/blade.md", (heading,), (arm, against), column), f"{name}, {column}")
            for column in columns
        )

    real = tuple(one for name, heading in GRAPHS.items() for one in of(name, heading))
    return real, of("shop", "The embedded shop")


def _ensemble(row: str) -> tuple[tuple[Differences, ...], tuple[Differences, ...]]:
    """Return the trees less members or other arms, on test: on CrowdFlower, and on the shop."""

    def of(heading: str) -> tuple[Differences, ...]:
        return tuple(
            Differences(
                Cell("evidence/ensemble.md", (heading,), (row,), "trees - it: accuracy", right, 0), measure
            )
            for right, measure in enumerate(("accuracy", "macro F1", "weighted F1"))
        )

    return of("CrowdFlower"), of("The embedded shop")


def _tcm(arm: str, column: str, sign: int) -> tuple[Differences, ...]:
    """Return what the margin term changes, for all encoders, base losses and seeds."""
    return tuple(
        Differences(
            Cell(
                "evidence/tcm.md",
                ("With and without the term", f"{encoder}, {base}"),
                (seed, f"+ {arm}"),
                column,
            ),
            f"{encoder}, {base}, seed {seed}",
            sign,
        )
        for encoder in ("n-grams", "transformer")
        for base in ("contrastive", "multi-similarity", "Smooth-AP")
        for seed in ("0", "1", "2")
    )


def _delayed(method: str) -> tuple[tuple[Differences, ...], tuple[Differences, ...]]:
    """Return what a method saves against vanilla: on clicks in log loss, on the shop in excess."""
    real = Differences(
        Cell("evidence/delayed.md", ("TalkingData",), (method,), "against vanilla"), "TalkingData"
    )
    made = tuple(
        Differences(
            Cell("evidence/delayed.md", ("The shop's stream", heading), (method,), "against vanilla"), wait
        )
        for wait, heading in WAITS.items()
    )
    return (real,), made


def _task(heading: str, line: str, measure: str) -> Seeds:
    columns = ("difference", "clearly better", "clearly worse")
    cells = (Cell("evidence/tasks.md", (heading,), (line, measure), column) for column in columns)
    difference, better, worse = cells
    return Seeds((difference, better, worse), f"{heading.partition(' (')[0]}, {measure}")


def _match(name: str, heading: str) -> Said:
    pattern = r"exceeds word overlap by (\S+) macro f1 on average; .*? in (\d+ of \d+) seeds"
    return Said(Sentence("evidence/match.md", (heading,), pattern), f"{name}, macro F1")


def _claim(
    method: str,
    claim: str,
    published: str,
    page: str,
    found: tuple[tuple[Differences, ...], tuple[Differences, ...]],
) -> Claim:
    return Claim(method, claim, published, f"evidence/{page}.md", *found)


QUARTS = "QUARTS, [arXiv 2005.03624](https://arxiv.org/abs/2005.03624)"
SALAM = "SALAM, KDD 2022"
TCM = "TCM, [arXiv 2307.04047](https://arxiv.org/abs/2307.04047)"
ENSEMBLE = "PP-GLAM, [arXiv 2403.00923](https://arxiv.org/abs/2403.00923)"
BLADE = "BLADE, WSDM 2023"
UNCERTAINTY = "[arXiv 2311.11723](https://arxiv.org/abs/2311.11723)"
DELAYED = "[KDD 2023](https://doi.org/10.1145/3580305.3599867)"
NO_FIGURE = "claimed without a figure to compare"
CORE = "the core's tasks"

CLAIMS = (
    _claim(
        QUARTS,
        "A generator that learns jointly with the classifier finds more mismatches than the classifier alone",
        "+3.0% APR, +4.7% F1",
        "quarts",
        _quarts("joint", 1, "APR", "F1"),
    ),
    _claim(
        QUARTS,
        "The same queries, written once and added as rows, make it worse",
        "gain over GBDT falls from 52.1% to 50.9% APR, from 55.2% to 51.5% F1",
        "quarts",
        _quarts("+ augmentation", -1, "APR", "F1"),
    ),
    _claim(
        QUARTS,
        "The classifier is ahead of boosted trees over lexical features (figures: the trees less the classifier)",
        "+52.1% APR, +55.2% F1",
        "quarts",
        _quarts("GBDT", -1, "APR", "F1"),
    ),
    _claim(
        QUARTS,
        "The classifier is ahead of MatchPyramid (figures: MatchPyramid less the classifier)",
        "52.1% against 45.0% APR over GBDT, 55.2% against 40.1% F1",
        "quarts",
        _quarts("MatchPyramid", -1, "APR", "F1"),
    ),
    _claim(
        QUARTS,
        "The generator that learns jointly helps where 10, 3 or 0% of the mismatches are known (APR)",
        "a question that is ours",
        "quarts",
        _scarce("joint"),
    ),
    _claim(
        QUARTS,
        "Queries written once and added as rows help there (APR)",
        "a question that is ours",
        "quarts",
        _scarce("+ augmentation"),
    ),
    _claim(SALAM, "A graph beside the text helps", NO_FIGURE, "salam", _salam("text only")),
    _claim(
        SALAM,
        "It is the graph's edges that help, not the greater network",
        "a control that is ours",
        "salam",
        _salam("text + random graph"),
    ),
    _claim(SALAM, "Pre-training on all regions helps", NO_FIGURE, "salam", _salam("phase 2 only")),
    _claim(SALAM, "A copy fine-tuned for each region helps", NO_FIGURE, "salam", _salam("phase 1 only")),
    Claim(
        TCM,
        "The margin term, with its published margins, makes one threshold serve all classes more alike "
        "(OPIS, less is better)",
        "lower in every comparison, by up to 77.3%",
        "evidence/tcm.md",
        _tcm("fixed", "OPIS", -1),
    ),
    Claim(
        TCM,
        "The same with margins that follow the data",
        "margins that are ours",
        "evidence/tcm.md",
        _tcm("quantile", "OPIS", -1),
    ),
    Claim(
        TCM,
        "It raises R@1 (published margins)",
        "better in 14 of 16 comparisons, -0.2% to +3.6%",
        "evidence/tcm.md",
        _tcm("fixed", "R@1", 1),
    ),
    Claim(
        TCM,
        "It raises R@1 (margins that follow the data)",
        "margins that are ours",
        "evidence/tcm.md",
        _tcm("quantile", "R@1", 1),
    ),
    _claim(
        ENSEMBLE,
        "Trees over members beat every single one, in accuracy, macro F1 and weighted F1",
        "ahead of every one on all three",
        "ensemble",
        _ensemble("`*`"),
    ),
    _claim(
        ENSEMBLE,
        "They beat one GBDT on all raw features",
        "a control that is ours",
        "ensemble",
        _ensemble("one GBDT on raw features"),
    ),
    _claim(
        ENSEMBLE, "They beat the mean of the members", "a control that is ours", "ensemble", _ensemble("mean")
    ),
    _claim(
        BLADE,
        "Two vectors a product find more one-way edges than one vector",
        "+6% to +230% hit rate and MRR over its baselines",
        "blade",
        _blade("dual", "single", "one-way HR@10", "one-way MRR@10"),
    ),
    _claim(
        BLADE,
        "They know which way an edge goes",
        "+10.5% direction AUC",
        "blade",
        _blade("dual", "single", "direction AUC"),
    ),
    _claim(
        BLADE,
        "The loss's term on reversed edges teaches the direction",
        "part of the +10.5%",
        "blade",
        _blade("dual", "dual, no reverse term", "direction AUC"),
    ),
    _claim(
        BLADE,
        "Neighbourhoods that are larger where edges are few help, at the same budget",
        "part of the +6% to +230%",
        "blade",
        _blade("dual, adaptive 0.5", "dual", "HR@10", "lowest quartile HR@10"),
    ),
    _claim(
        BLADE,
        "Graph networks are ahead of free vectors of the products",
        "+6% to +230% hit rate and MRR over its baselines",
        "blade",
        _blade("dual", "shallow", "HR@10", "one-way HR@10"),
    ),
    _claim(
        BLADE,
        "They are ahead of counting what is bought together",
        "a control that is ours",
        "blade",
        _blade("dual", "co-occurrence", "HR@10", "one-way HR@10"),
    ),
    Claim(
        BLADE,
        "Vectors from features recommend for products without an edge, better than vectors learnt for each",
        NO_FIGURE,
        "evidence/blade-cold.md",
        tuple(
            Differences(
                Cell(
                    "evidence/blade-cold.md",
                    (f"Without an edge: {heading}",),
                    ("learnt vectors and texts, cold 3", "learnt vectors and texts"),
                    column,
                ),
                f"{name}, {column}",
            )
            for name, heading in GRAPHS.items()
            for column in ("HR@10", "MRR@10")
        ),
    ),
    Claim(
        BLADE,
        "Where what follows what follows may follow: neighbourhoods by degree, with walks, help",
        "part of the +6% to +230%",
        "evidence/blade-cold.md",
        (),
        tuple(
            Differences(
                Cell(
                    "evidence/blade-cold.md",
                    ("Where what follows what follows",),
                    ("adaptive 0.5, walks", "fixed"),
                    column,
                ),
                f"made graph, {column}",
            )
            for column in ("HR@10", "lowest quartile HR@10")
        ),
    ),
    Claim(
        UNCERTAINTY,
        "At the same high precision a threshold for each level of uncertainty finds more than one threshold",
        "+25% to +40% recall",
        "evidence/uncertainty.md",
        tuple(
            Differences(
                Cell("evidence/uncertainty.md", ("Real data", heading), ("*", "*"), f"at {target}"),
                f"{heading} {target}",
            )
            for heading, targets in (("Home Depot", ("0.7", "0.8")), ("CrowdFlower", ("0.7", "0.8", "0.9")))
            for target in targets
        ),
        (
            Differences(
                Cell(
                    "evidence/uncertainty.md",
                    ("Known truth",),
                    ("1/5", "hundredfold", "*"),
                    "dynamic programme",
                ),
                "known truth, the claim's own conditions,",
            ),
        ),
    ),
    _claim(
        DELAYED,
        "ES-DFM's weights beat training without correction (thousandths of a nat saved)",
        "0.3924 for 0.4047 on Criteo",
        "delayed",
        _delayed("es_dfm"),
    ),
    _claim(
        DELAYED,
        "FNW's weights do",
        "0.4033 for 0.4047 on Criteo",
        "delayed",
        _delayed("fnw"),
    ),
    _claim(DELAYED, "DEFUSE's weights do", NO_FIGURE, "delayed", _delayed("defuse")),
    _claim(DELAYED, "DEFER's weights do", NO_FIGURE, "delayed", _delayed("defer")),
    _claim(DELAYED, "FSIW's weights do", NO_FIGURE, "delayed", _delayed("fsiw")),
    _claim(DELAYED, "DFM's likelihood does", NO_FIGURE, "delayed", _delayed("dfm")),
    _claim(
        DELAYED,
        "To know every label at once does: there is something to win",
        "0.3868 for 0.4047 on Criteo",
        "delayed",
        _delayed("oracle"),
    ),
    Claim(
        DELAYED,
        "Weights that read what was done before the label settled are better than weights of the event alone",
        NO_FIGURE,
        "evidence/delayed.md",
        (),
        tuple(
            Differences(
                Cell(
                    "evidence/delayed.md",
                    ("The shop's stream", "What signals add"),
                    (wait, strength),
                    "against `exact`",
                ),
                f"{wait}, {strength}",
            )
            for wait in WAITS
            for strength in SIGNALS
        ),
    ),
    Claim(
        DELAYED,
        "The chance of an engagement times that of a conversion after it is better than one model of both",
        NO_FIGURE,
        "evidence/delayed.md",
        (),
        tuple(
            Differences(
                Cell(
                    "evidence/delayed.md",
                    ("The shop's stream", "Signals by way of the engagement"),
                    ("6 h", strength, "factored"),
                    "against `direct`",
                ),
                f"6 h, {strength}",
            )
            for strength in SIGNALS
        ),
    ),
    Claim(
        CORE,
        "match: the pipelines of plain parts beat a regression on word overlap",
        "–",
        "evidence/match.md",
        (_match("CrowdFlower", "CrowdFlower"), _match("Home Depot", "Home Depot")),
        (_match("shop", "The embedded shop"),),
    ),
    Claim(
        CORE,
        "match, embed, relate: they beat the stronger line that learns little",
        "–",
        "evidence/tasks.md",
        (
            _task("Amazon-Google products (match)", "word overlap", "macro f1"),
            _task("Shopee titles", "character n-gram TF-IDF", "hit rate@1"),
            _task("Citeseer citations", "co-occurrence", "hit rate@10"),
        ),
    ),
)
"In the order of the table."
