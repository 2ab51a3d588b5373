"""Reader of product graphs: one edge a row in any table format, SNAP edge lists, or npz arrays."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from prodmatch_core.data.badrows import BadRow, BadRows
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.files import RawTable, decode_text, read_content, read_table
from prodmatch_core.data.graph_config import CiteseerConfig, EdgesConfig
from prodmatch_core.data.judged import Origin
from prodmatch_core.data.named_columns import named_columns
from prodmatch_core.data.npz_graph import NpzGraph, read_npz_graph
from prodmatch_core.data.product_graph import product_graph, read_products
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.rows import Rows, finite_numbers
from prodmatch_core.data.times import no_time, parse_times

_REMEDY = (
    'Say which column holds what, e.g. columns.source = "from", or name the columns with header = [...].'
)


def read(config: EdgesConfig, context: ReadContext) -> Dataset:
    """Return the data set of one file of edges between products, and of a file of products where one is named.

    Raises:
        DataError: a file cannot be read, lacks a column or an array, has a bad row and `context` skips none, or
            no edge is left.
    """
    path = context.find(config.path)
    origin = Origin(Path(config.path).name.partition(".")[0], config.path, part="core.edges")
    format = config.format if config.format != "auto" else _guess(path)
    products: pl.DataFrame | None = None
    notes: list[str] = []
    if config.products is not None:
        products, notes = read_products(config.products, config.locale, context)
    truth: dict[str, pl.DataFrame] = {}
    if format == "npz":
        graph = read_npz_graph(path)
        edges = graph.edges.with_columns(relation=pl.lit(config.relation))
        notes += graph.notes
        truth = graph.truth
        if products is None:
            products = npz_products(graph, config.locale)
    else:
        edges, found = _edges(path, format, config, context)
        notes += found
    return product_graph(
        edges,
        products,
        path=path,
        origin=origin,
        locale=config.locale,
        unknown=config.unknown,
        self_loops=config.self_loops,
        truth=truth,
        notes=notes,
    )


def read_citeseer(config: CiteseerConfig, context: ReadContext) -> Dataset:
    """Return the directed citations of Citeseer; a paper's words are its description, `w12 w873 ...`.

    The research area of each paper is in `truth`, as nothing may learn from it.
    """
    path = context.find(config.path)
    graph = read_npz_graph(path)
    return product_graph(
        graph.edges.with_columns(relation=pl.lit("cites")),
        npz_products(graph, "en"),
        path=path,
        origin=Origin(
            "citeseer", "Citeseer, directed, as in graph2gauss (arXiv 1707.03815)", "unknown", "core.citeseer"
        ),
        locale="en",
        unknown="keep",
        self_loops=config.self_loops,
        truth=graph.truth,
        notes=graph.notes,
    )


def npz_products(graph: NpzGraph, locale: str) -> pl.DataFrame:
    """Return the nodes of a graph as products whose description is the words of their features."""
    columns = {"title": pl.lit(None, dtype=pl.String), "locale": pl.lit(locale)}
    if graph.words is not None:
        columns["description"] = pl.lit(graph.words)
    return graph.nodes.to_frame("product_id").with_columns(**columns)


def read_snap(path: Path, encoding: str, header: tuple[str, ...], bad: BadRows) -> RawTable:
    """Return the records of an edge list: fields between white space, lines that begin with # or % are comments.

    Raises:
        DataError: the file cannot be read, or a row is bad and bad rows are not skipped.
    """
    text = decode_text(path, read_content(path), encoding)
    lines = pl.DataFrame({"text": text.split("\n")}, schema={"text": pl.String}).with_row_index(
        "line", offset=1
    )
    lines = lines.with_columns(pl.col("text").str.strip_chars())
    lines = lines.filter((pl.col("text") != "") & ~pl.col("text").str.contains("^[#%]"))
    fields = lines["text"].str.replace_all(r"\s+", "\t").str.split("\t")
    right = fields.list.len() == len(header)
    bad.report(
        BadRow(
            line,
            "",
            f"{len(cells)} fields where {len(header)} are expected ({', '.join(header)})",
            'Correct it, or name the columns, e.g. header = ["source", "target", "count"]',
        )
        for line, cells in zip(lines["line"].filter(~right), fields.filter(~right), strict=True)
    )
    frame = fields.filter(right).list.to_struct(fields=list(header)).struct.unnest()
    return RawTable(path, frame, lines.height, lines["line"].filter(right).to_list)


def _guess(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".gzip")]
    last = suffixes[-1] if suffixes else ""
    return {".npz": "npz", ".txt": "snap", ".edges": "snap", ".edgelist": "snap"}.get(last, "auto")


def _edges(
    path: Path, format: str, config: EdgesConfig, context: ReadContext
) -> tuple[pl.DataFrame, list[str]]:
    bad = BadRows(path, context.skip_bad_rows)
    if format == "snap":
        raw = read_snap(path, config.encoding, config.header or ("source", "target"), bad)
    else:
        raw = read_table(path, format, config.encoding, config.quote, bad, config.header)
    names = named_columns(raw, config.columns, {"source", "target"}, _REMEDY)
    rows = Rows(raw, names, bad, "core.edges")
    for end in ("source", "target"):
        rows.refuse(end, rows.frame[end].is_null(), lambda row: "the identifier is empty", "Fill it")
    if "relation" not in names:
        rows.frame = rows.frame.with_columns(relation=pl.lit(None, dtype=pl.String))
    count = finite_numbers(rows, "count").fill_null(1.0) if "count" in names else None
    if count is not None:
        rows.refuse("count", count <= 0, lambda row: f"{row['count']} is not above 0", "Correct it")
    if "at" in names:
        at = parse_times(rows.frame["at"], config.time_unit)
        rows.refuse(
            "at",
            at.is_null() & rows.frame["at"].is_not_null(),
            no_time("at", config.time_unit),
            "Correct it",
        )
        rows.frame = rows.frame.with_columns(at=at)
    rows.frame = rows.frame.with_columns(
        pl.col("source", "target").str.strip_chars(),
        pl.col("relation").str.strip_chars().str.to_lowercase().fill_null(config.relation),
        count=pl.lit(1.0) if count is None else count,
    )
    rows.drop_bad()
    rows.require_some()
    columns = ["relation", "count", *(["at"] if "at" in names else [])]
    return rows.frame.select(
        pl.col("source").alias("src"), pl.col("target").alias("dst"), *columns
    ), bad.notes(raw.total)
