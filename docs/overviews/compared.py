"""The comparisons of speed and memory, and where the pages of the benchmarks have them."""

from __future__ import annotations

from overviews.reading import Cell, Sentence
from overviews.speeds import Speed

GRAPHS = "benchmarks-graphs.md"
ENSEMBLE = "benchmarks-ensemble.md"
SALAM = "benchmarks-salam.md"
TCM = "benchmarks-tcm.md"
UNCERTAINTY = "benchmarks-uncertainty.md"
DELAYED = "benchmarks-delayed.md"
NEGATIVES = "benchmarks-negatives.md"
BARE_LOOP = "a bare PyTorch loop, same model and batches"
OF_TIME = "{} of its time"
FASTER = "{} times as fast"
MILLION = "1,000,000 nodes"


def _boundary(what: str, row: str) -> Speed:
    return Speed(
        what,
        "a ceiling in seconds",
        Cell(UNCERTAINTY, (), (row,), "CPU seconds"),
        "{} s",
        most=Cell(UNCERTAINTY, (), (row,), "not to exceed"),
    )


SPEEDS = (
    Speed(
        "`prodmatch --help`",
        "importing click and pluggy",
        Cell("benchmarks-startup.md", (), ("`prodmatch --help`",), "ratio"),
        OF_TIME,
        most=Sentence("benchmarks-startup.md", (), r"ratio of at most (\d+)"),
    ),
    Speed(
        "`prodmatch plugins`",
        "importing click and pluggy",
        Cell("benchmarks-startup.md", (), ("`prodmatch plugins`",), "ratio"),
        OF_TIME,
        most=Sentence("benchmarks-startup.md", (), r"ratio of at most (\d+)"),
    ),
    Speed(
        "an epoch of `core.ngram`",
        BARE_LOOP,
        Cell("benchmarks-loop.md", (), ("`core.ngram`",), "ours / bare"),
        OF_TIME,
    ),
    Speed(
        "an epoch of `core.transformer`",
        BARE_LOOP,
        Cell("benchmarks-loop.md", (), ("`core.transformer`",), "ours / bare"),
        OF_TIME,
    ),
    Speed(
        "scoring with a cross-encoder",
        "sentence-transformers `CrossEncoder`, its defaults",
        Cell("benchmarks-scoring.md", (), ("prodmatch, fp32",), "times the default"),
        FASTER,
    ),
    Speed(
        "the same in 8 bits (`prodmatch export --int8`)",
        "sentence-transformers `CrossEncoder`, its defaults",
        Cell("benchmarks-scoring.md", (), ("prodmatch, int8 (onnx)",), "times the default"),
        FASTER,
    ),
    Speed(
        "mining negatives, exact",
        "sentence-transformers, exact",
        Sentence(NEGATIVES, (), r"in CPU time ([\d.]+), [\d.]+ and [\d.]+ times"),
        FASTER + " (processor)",
    ),
    Speed(
        "mining negatives, exact",
        "sentence-transformers with faiss",
        Sentence(NEGATIVES, (), r"in CPU time [\d.]+, ([\d.]+) and [\d.]+ times"),
        FASTER + " (processor)",
    ),
    Speed(
        "mining negatives: memory",
        "sentence-transformers, exact",
        Sentence(NEGATIVES, (), r"exact search adds ([\d.]+) times as much memory"),
        "theirs adds {} times as much",
    ),
    Speed(
        "ranking measures, no ties, `trec` rule",
        "ir-measures",
        Cell("benchmarks-ranking.md", (), ("no ties", "trec"), "ratio"),
        FASTER,
    ),
    Speed(
        "ranking measures, 40 levels, `expected` rule",
        "ir-measures",
        Cell("benchmarks-ranking.md", (), ("40 levels", "expected"), "ratio"),
        FASTER,
    ),
    Speed(
        "neighbourhoods, fixed fan-out, a million nodes",
        "the best correct DGL configuration",
        Cell(GRAPHS, (MILLION,), ("`core.uniform_sampler`, fixed",), "ratio"),
        FASTER,
        least=Sentence(GRAPHS, (), r"at least ([\d.]+) times the best correct DGL"),
    ),
    Speed(
        "neighbourhoods, fan-out by degree, a million nodes",
        "DGL called for each fan-out",
        Cell(GRAPHS, (MILLION,), ("`blade.adaptive`, alpha 0.5",), "ratio"),
        FASTER,
        least=Sentence(GRAPHS, (), r"at least ([\d.]+) times DGL called for each"),
    ),
    Speed(
        "base loss with the margin term, batches of 1,024",
        "pytorch-metric-learning with the term written by hand",
        Cell(TCM, ("A training step",), ("1024",), "ours / library, naive"),
        OF_TIME,
    ),
    Speed(
        "what the margin term adds, batches of 1,024",
        "our base loss alone",
        Cell(TCM, ("A training step",), ("1024",), "added, fixed"),
        "{} of its time more",
    ),
    Speed(
        "OPIS of 100,000 items",
        "the bare product of the vectors",
        Sentence(TCM, ("OPIS of many items",), r"([\d.]+) times the bare product"),
        OF_TIME,
    ),
    _boundary("boundary by dynamic programme, 100 x 100", "dynamic programme with back-tracking, 100 x 100"),
    _boundary("boundary by dynamic programme, 300 x 300", "dynamic programme with back-tracking, 300 x 300"),
    _boundary("binning a million rows, 100 x 100", "binning, 100 x 100"),
    Speed(
        "QUARTS' classifier, training",
        "a BiLSTM classifier of as many units",
        Cell("benchmarks-quarts.md", (), ("300, 128",), "ratio"),
        "{} of its pairs a second",
        least=Sentence("benchmarks-quarts.md", (), r"ratio of at least ([\d.]+) in training"),
    ),
    Speed(
        "QUARTS' classifier, scoring",
        "a BiLSTM classifier of as many units",
        Cell("benchmarks-quarts.md", (), ("300, 128",), "ratio", 3),
        "{} of its pairs a second",
    ),
    Speed(
        "a training step of `salam.fusion`",
        "its text encoder alone",
        Cell(SALAM, ("A training step",), ("ratio (not to exceed*",), "processor ms a step"),
        OF_TIME,
        most=Sentence(SALAM, ("A training step",), r"not to exceed ([\d.]+)"),
    ),
    Speed(
        "one warm pair of `salam.fusion`",
        "its text encoder alone",
        Sentence(SALAM, ("One pair at a time",), r"A warm pair takes ([\d.]+) times"),
        OF_TIME,
        most=Sentence(SALAM, ("One pair at a time",), r"not to exceed ([\d.]+)"),
    ),
    Speed(
        "training `ensemble.lightgbm`",
        "LightGBM alone",
        Cell(ENSEMBLE, (), ("overhead of training",), "", 1),
        "{} of its time more",
        most=Cell(ENSEMBLE, (), ("overhead of training",), "wanted"),
    ),
    Speed(
        "contributions by member and class",
        "LightGBM's contributions",
        Cell(ENSEMBLE, (), ("overhead of contributions",), "", 1),
        "{} of its time more",
        most=Cell(ENSEMBLE, (), ("overhead of contributions",), "wanted"),
    ),
    Speed(
        "scoring pairs seen before (`score --cache`)",
        "scoring them the first time",
        Cell(ENSEMBLE, (), ("59,291 pairs: second faster than the first",), "", 1),
        FASTER,
        least=Cell(ENSEMBLE, (), ("59,291 pairs: second faster than the first",), "wanted"),
    ),
    Speed(
        "look-ups in the label cache, a second",
        "a floor",
        Cell(ENSEMBLE, (), ("label cache, 1,000,000 answers: look-ups",), "", 1),
        "{}",
        least=Cell(ENSEMBLE, (), ("label cache, 1,000,000 answers: look-ups",), "wanted"),
    ),
    Speed(
        "scoring with a cascade, at no loss that counts",
        "every member asked for every pair",
        Cell(ENSEMBLE, (), ("cascade: throughput",), "", 1),
        FASTER,
        least=Cell(ENSEMBLE, (), ("cascade: throughput",), "wanted"),
    ),
    Speed(
        "a stream of a million events",
        "a loop over events with a heap",
        Cell(DELAYED, ("Streams",), ("1,000,000",), "times as fast"),
        FASTER,
    ),
    Speed(
        "events to a stream, a second",
        "a floor",
        Cell(DELAYED, ("Streams",), ("1,000,000",), "events a second"),
        "{}",
        least=Sentence(DELAYED, ("Streams",), r"Floor: ([\d,]+) events a second"),
    ),
    *(
        Speed(
            f"a training step with the weights of `{method}`",
            "`vanilla`",
            Cell(DELAYED, ("Importance weights",), (method,), "ratio"),
            OF_TIME,
            most=Sentence(DELAYED, ("Importance weights",), r"Ceiling: ([\d.]+) times"),
        )
        for method in ("es_dfm", "exact", "signals")
    ),
    Speed(
        "making the shop, 2.6 million judgements",
        "writing its tables once",
        Sentence("shop-scale.md", (), r"\(([\d.]+) times its processor seconds\)"),
        "{} of its processor time",
    ),
)
"In the order of the table."
