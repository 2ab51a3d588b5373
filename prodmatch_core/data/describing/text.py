"""A description as plain text: aligned tables under headings, for a terminal of usual width or a log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prodmatch_core.data.describing.spreads import QUANTILES

_TEXT_WIDTH = 88

DEGREES: Mapping[str, str] = {
    "out": "neighbours out",
    "in": "neighbours in",
    "out_count": "count out",
    "in_count": "count in",
}
"What the spreads of a relation are spreads of."

_WORDS = (
    (1 / 86_400, 86_400_000.0, "ms"),
    (1 / 1440, 86_400.0, "s"),
    (1 / 24, 1440.0, "min"),
    (1.0, 24.0, "h"),
)


def elapsed(days: float) -> str:
    """Write a time given in days in the unit that suits it: `20 min`, `3.4 h`, `9.1 d`."""
    for below, factor, unit in _WORDS:
        if days < below * 0.9995:
            return f"{days * factor:.3g} {unit}"
    return f"{days:.3g} d" if days < 1000 else f"{days:,.0f} d"


def parameters(law: Mapping[str, Any]) -> str:
    """Write the parameters of a delay law: `scale 2.1 d, shape 0.612`."""
    found = law["parameters"]
    if law["name"] == "mixture of exponentials":
        count = len(found) // 2
        return ", ".join(
            f"{found[f'weight_{i}']:.0%} of mean {elapsed(found[f'mean_days_{i}'])}"
            for i in range(1, count + 1)
        )
    return ", ".join(
        f"{key.removesuffix('_days')} {elapsed(value) if key.endswith('_days') else f'{value:.3f}'}"
        for key, value in found.items()
    )


def lines(description: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a description, thorough or not."""
    yield f"{description['name']}: {description['source']} (licence: {description['licence']})"
    yield f"fingerprint {description['fingerprint'][:16]}"
    for block in (
        _tables,
        _splits,
        _quantities,
        _locales,
        _counts,
        _duplicates,
        _near,
        _groups,
        _graph,
        _conversions,
    ):
        found = list(block(description))
        if found:
            yield ""
            yield from found
    if description["notes"]:
        yield ""
        yield from (f"note: {note}" for note in description["notes"])


def _tables(description: Mapping[str, Any]) -> Iterator[str]:
    rows = [["table", "rows", "empty cells"]]
    for name, table in description["tables"].items():
        empty = ", ".join(f"{column} {count:,}" for column, count in table["empty"].items() if count)
        rows.append([name, f"{table['rows']:,}", empty])
    rows += [[f"truth.{name}", f"{count:,}", ""] for name, count in description.get("truth", {}).items()]
    yield from _aligned(rows, left=(0, 2))


def _splits(description: Mapping[str, Any]) -> Iterator[str]:
    if "splits" in description:
        labels = list(description["labels"])
        rows = [["split", "judgements", "queries", "products", *labels]]
        for split, part in description["splits"].items():
            shares = [f"{part['labels'][label]:.1%}" for label in labels]
            rows.append([split, *(f"{part[key]:,}" for key in rows[0][1:4]), *shares])
        yield from _aligned(rows)


def _quantities(description: Mapping[str, Any]) -> Iterator[str]:
    quantities = {f"characters of {name}": row for name, row in description["lengths"].items()}
    if description.get("judgements_per_query"):
        quantities = {"judgements per query": description["judgements_per_query"], **quantities}
    if quantities:
        rows = [[name, *_numbers(row)] for name, row in quantities.items()]
        yield from _aligned([["", *QUANTILES], *rows])


def _locales(description: Mapping[str, Any]) -> Iterator[str]:
    found = description["locales"]
    columns = [k for k in ("queries", "products", "judgements") if any(k in row for row in found.values())]
    if found:
        rows = [[name, *(f"{row.get(column, 0):,}" for column in columns)] for name, row in found.items()]
        yield from _aligned([["locale", *columns], *rows])


def _counts(description: Mapping[str, Any]) -> Iterator[str]:
    if "graph" not in description and description.get("relations"):
        rows = [[name, f"{count:,}"] for name, count in description["relations"].items()]
        yield from _aligned([["relation", "rows"], *rows])
    if "group_sizes" not in description and "groups" in description:
        groups = description["groups"]
        splits = ", ".join(f"{name} {count:,}" for name, count in groups["splits"].items())
        yield f"groups: {groups['items']:,} items in {groups['groups']:,} groups ({splits or 'no item'})"
    if "conversions" not in description and "events" in description:
        events = description["events"]
        yield f"events: {events['events']:,}, converted {events['converted']:,}"


def _duplicates(description: Mapping[str, Any]) -> Iterator[str]:
    found = description["duplicates"]
    if found:
        repeated = ", ".join(f"{name} {count:,}" for name, count in found.items())
        yield f"texts that an earlier row has: {repeated}"
    if "splits" in description:
        shared = ", ".join(f"{name} {count:,}" for name, count in description["leaks"].items())
        yield f"texts in more than one split:  {shared}"


def _near(description: Mapping[str, Any]) -> Iterator[str]:
    found = description.get("near_duplicates", {})
    kinds = {kind: found[kind] for kind in ("queries", "titles") if found.get(kind, {}).get("rows")}
    if not kinds:
        return
    yield (
        f"Near-duplicates: character trigrams alike to {found['similarity']:g} (Jaccard); "
        f"{found['recall']:.1%} of such pairs are found at least"
    )
    rows = [["", "rows", "compared", "identical", "near", "either", "share"]]
    for kind, part in kinds.items():
        keys = ("rows", "rows_compared", "identical", "near", "either")
        share = part["either"] / max(part["rows_compared"], 1)
        rows.append([kind, *(f"{part[key]:,}" for key in keys), f"{share:.1%}"])
    yield from _aligned(rows)
    for kind, part in kinds.items():
        if part["compared"] < part["texts"]:
            yield (
                f"{kind}: a sample, {part['compared']:,} of {part['texts']:,} different texts; shares are a "
                "little too low, since some near texts fell outside it"
            )
    rows = [["across splits", "split", "texts", "also in train", "nearly in train", "share"]]
    for kind, part in kinds.items():
        for split, leak in part["leaks"].items():
            counted = ("texts", "in_train", "near_train")
            share = (leak["in_train"] + leak["near_train"]) / max(leak["texts"], 1)
            rows.append([kind, split, *(f"{leak[key]:,}" for key in counted), f"{share:.1%}"])
    if len(rows) > 1:
        yield ""
        yield from _aligned(rows, left=(0, 1))
    for kind, part in kinds.items():
        for example in part["examples"]:
            yield ""
            for index, (text, splits) in enumerate(zip(example["texts"], example["splits"], strict=True)):
                lead = f"{kind} {example['similarity']:.2f}" if index == 0 else ""
                yield f"{lead:<13}{_short(text)}" + (f"  [{', '.join(splits)}]" if splits else "")


def _groups(description: Mapping[str, Any]) -> Iterator[str]:
    found = description.get("group_sizes")
    if found:
        groups = description["groups"]
        yield (
            f"Groups: {groups['items']:,} items in {groups['groups']:,} groups, "
            f"{found['singletons']:.1%} of them of one item, {found['crossing']:,} in more than one split"
        )
        keys = ("items", "groups", "largest")
        rows = [[name, *(f"{row[key]:,}" for key in keys)] for name, row in found["splits"].items()]
        yield from _aligned([["split", *keys], *rows])
        yield ""
        yield from _spreads([("items per group", found["sizes"])])


def _graph(description: Mapping[str, Any]) -> Iterator[str]:
    found = description.get("graph")
    if not found:
        return
    yield "Graph: cold is the share of nodes of the kind without an edge; both ways, of edges whose reverse is there"
    rows = [["relation", "edges", "sources", "targets", "cold src", "cold dst", "both ways", "loops"]]
    for name, part in found.items():
        shares = [_share(part[key]) for key in ("cold_sources", "cold_targets", "reciprocity")]
        loops = "–" if part["self_loops"] is None else f"{part['self_loops']:,}"
        rows.append([name, *(f"{part[key]:,}" for key in ("edges", "sources", "targets")), *shares, loops])
    yield from _aligned(rows)
    yield ""
    yield from _spreads(
        (f"{name}, {words}", part[key])
        for name, part in found.items()
        for key, words in DEGREES.items()
        if key in part
    )


def _spreads(spreads: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    rows = [["", "median", "q95", "max", "exponent", "from", "tail", "KS", "z"]]
    for name, spread in spreads:
        found = spread["quantiles"]
        row = [name, *(_number(found[key]) for key in ("median", "q95", "max"))] if found else [name, *"–––"]
        law = spread["law"]
        row += (
            [
                f"{law['exponent']:.2f} ± {law['error']:.2f}",
                f"{law['xmin']:,}",
                f"{law['share']:.1%}",
                f"{law['distance']:.3f}",
                f"{law['against_exponential']:+.1f}",
            ]
            if law
            else ["–"] * 5
        )
        rows.append(row)
    yield from _aligned(rows)
    if any(row[4] != "–" for row in rows[1:]):
        yield "exponent of the power law of the tail; z above 2: clearly heavier than an exponential tail"


def _conversions(description: Mapping[str, Any]) -> Iterator[str]:
    found = description.get("conversions")
    if not found:
        return
    events = description["events"]
    until = "the end of the log" if found["window_days"] is None else f"{elapsed(found['window_days'])} later"
    yield (
        f"Events: {events['events']:,} from {found['first']} to {found['last']}, {events['converted']:,} "
        f"converted ({found['rate']:.2%})"
    )
    yield f"an event without a conversion is watched until {until}"
    if found["engaged"] is not None:
        yield f"with an earlier signal: {found['engaged']:.1%}"
    for key, words in (
        ("backwards", "before their event, left out"),
        ("instant", "at the time of their event"),
    ):
        if found[key]:
            yield f"conversions {words}: {found[key]:,}"
    if found["delay_days"]:
        yield ""
        delays = [elapsed(value) for value in found["delay_days"].values()]
        yield from _aligned([["", *QUANTILES], ["delay until conversion", *delays]])
    if found["laws"]:
        yield ""
        best = found["laws"][0]["aic"]
        rows = [["law of the delay", "AIC over best", "KS", "median", "convert in the end", "parameters"]]
        for law in found["laws"]:
            figures = [f"{law['aic'] - best:,.1f}", f"{law['distance']:.3f}", elapsed(law["median_days"])]
            rows.append([law["name"], *figures, f"{law['converting']:.2%}", parameters(law)])
        yield from _aligned(rows, left=(0, 5))


def _aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.ljust(w) if i in left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _numbers(found: Mapping[str, float]) -> list[str]:
    return [_number(found[name]) for name in QUANTILES] if found else ["–"] * len(QUANTILES)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _short(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _TEXT_WIDTH else f"{text[: _TEXT_WIDTH - 1].rstrip()}…"
