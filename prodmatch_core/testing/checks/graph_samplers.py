"""What a graph sampler must do."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs
import numpy as np

from prodmatch_core.graph.csr import Block, Graph
from prodmatch_core.testing.answers import difference
from prodmatch_core.testing.benches.samplers import flat, graph, wanted
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.subject import Subject
from prodmatch_core.training import seeds

TRIES = 20
"Draws of blocks that a law must hold in."
DRAWS = 4000
"Draws of one neighbour that frequencies are counted over."
CRITICAL = 1e-4
"A chi-square less likely than this is taken for a wrong frequency; the draws are seeded, so it is always the same one."


def check_every_edge_exists(subject: Subject) -> None:
    """Every sampled edge is an edge of the graph: from the sender it names to the receiver it names."""
    held = graph()
    starts = np.repeat(np.arange(held.nodes), held.degree())
    for blocks in _draws(subject):
        for block in blocks:
            there = (block.edge >= 0) & (block.edge < held.edges)
            if not there.all():
                raise Nonconformance(
                    f"a sampled edge has no place among the graph's {held.edges}. Return positions."
                )
            senders, receivers = block.inputs[block.source], block.inputs[block.target]
            if (held.targets[block.edge] != senders).any() or (starts[block.edge] != receivers).any():
                raise Nonconformance(
                    "a sampled edge is not between the nodes its block says. A node's neighbours are its "
                    "out-neighbours: `graph.targets[edge]` sends, and the node whose edge it is receives."
                )


def check_seeds_come_first(subject: Subject) -> None:
    """Every block's inputs begin with its seeds, in order: the nodes asked for, then the inputs of the layer within."""
    for blocks in _draws(subject):
        expected = wanted()
        for block in reversed(blocks):
            if not np.array_equal(block.inputs[: block.seeds], expected):
                raise Nonconformance(
                    "a block does not begin with the nodes the next layer reads. Put the seeds first, in "
                    "their order, and the outermost layer first in the list."
                )
            expected = block.inputs


def check_inputs_are_different(subject: Subject) -> None:
    """No node is there twice among a block's inputs, and none but the seeds is there without sending."""
    for blocks in _draws(subject):
        for block in blocks:
            if len(np.unique(block.inputs)) != len(block.inputs):
                raise Nonconformance(
                    "a node is among a block's inputs twice. Number the nodes of a block once."
                )
            idle = np.setdiff1d(np.arange(block.seeds, len(block.inputs)), block.source)
            if len(idle):
                raise Nonconformance("an input sends nothing along any edge. Leave it out of the block.")


def check_fanouts_are_respected(subject: Subject) -> None:
    """There is a block for each entry of `fanouts`, and no node receives along more edges than it says."""
    fanouts = getattr(subject.config, "fanouts", None)
    if fanouts is None:
        raise Skipped("the configuration has no field fanouts")
    for blocks in _draws(subject):
        if len(blocks) != len(fanouts):
            raise Nonconformance(f"{len(fanouts)} fanouts make {len(blocks)} blocks. Return a block a layer.")
        for block, fanout in zip(reversed(blocks), fanouts, strict=True):
            most = int(np.bincount(block.target, minlength=1).max())
            if most > fanout:
                raise Nonconformance(
                    f"a node receives along {most} edges where the fan-out is {fanout}. The first entry of "
                    "fanouts is that of the layer next to the nodes asked for."
                )


def check_excluded_edges_are_never_sampled(subject: Subject) -> None:
    """An edge that is excluded, because the model is asked to predict it, is in no block."""
    held = graph()
    exclude = np.arange(0, held.edges, 2)
    for number in range(TRIES):
        blocks = subject.made.sample(wanted(), seeds.rng(number, "kit", "exclude"), exclude)
        if any(np.isin(block.edge, exclude).any() for block in blocks):
            raise Nonconformance(
                "an excluded edge was sampled: the model would read what it must predict. Leave `exclude` out "
                "in every layer."
            )


def check_frequencies_are_as_declared(subject: Subject) -> None:
    """With a fan-out of one, edges are taken as often as `chances` says, by a chi-square test."""
    if getattr(subject.config, "fanouts", None) is None:
        raise Skipped("the configuration has no field fanouts")
    one = subject.factory.build(attrs.evolve(subject.config, fanouts=(1,)), graph())
    node = int(graph().degree().argmax())
    chances = one.chances(node)
    if chances is None:
        raise Skipped("the sampler declares no chances")
    first, end = graph().offsets[node : node + 2]
    rng = seeds.rng(0, "kit", "frequencies")
    counts = np.zeros(end - first)
    for _ in range(DRAWS):
        (block,) = one.sample(np.array([node]), rng)
        counts[block.edge - first] += 1
    if len(chances) != len(counts) or abs(chances.sum() - 1) > 1e-6 or counts.sum() != DRAWS:
        raise Nonconformance(
            f"a node of {len(counts)} edges has {len(chances)} chances that sum to {chances.sum():g}, and "
            f"{DRAWS} draws take {counts.sum():g} edges. Return a chance for every edge, and take one edge "
            "where the fan-out is one."
        )
    from scipy.stats import chisquare

    possible = chances > 0
    surprise = chisquare(counts[possible], chances[possible] * DRAWS).pvalue if possible.sum() > 1 else 1.0
    if counts[~possible].any() or surprise < CRITICAL:
        raise Nonconformance(
            f"{DRAWS} draws take a node's edges {counts.astype(int).tolist()} times, where chances declare "
            f"{(chances * DRAWS).round().astype(int).tolist()}. Draw as `chances` says, or correct it."
        )


def check_graph_is_not_written_to(subject: Subject) -> None:
    """The graph is as it was after sampling: other parts read it too."""
    held, before = graph(), graph()
    subject.factory.build(subject.config, held).sample(wanted(), seeds.rng(0, "kit", "sample"))
    for field in attrs.fields(Graph):
        if not np.array_equal(getattr(held, field.name), getattr(before, field.name)):
            raise Nonconformance(f"the sampler writes to the graph's {field.name}. Work on a copy.")


def check_any_thread_draws_the_same(subject: Subject) -> None:
    """The same seed draws the same blocks in whichever thread: batches are gathered by several."""
    here = [flat(blocks) for blocks in _draws(subject)]
    with ThreadPoolExecutor(1) as thread:
        there = [flat(blocks) for blocks in thread.submit(_draws, subject).result()]
    if any(difference(one, other) for one, other in zip(here, there, strict=True)):
        raise Nonconformance(
            "another thread draws other blocks from the same seed. Draw from the generator that is given, and from "
            "nothing that a thread has for itself."
        )


def _draws(subject: Subject) -> list[Sequence[Block]]:
    return [subject.made.sample(wanted(), seeds.rng(number, "kit", "draw")) for number in range(TRIES)]
