"""What a degree-biased sampler and dual embeddings must do, as facts."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import chisquare

from prodmatch_blade.adaptive import AdaptiveSampler, neighbours
from prodmatch_blade.asymmetric import AsymmetricLoss
from prodmatch_blade.configs import AdaptiveConfig, AsymmetricConfig, BladeNegativesConfig
from prodmatch_blade.dual import DualEncoder
from prodmatch_blade.negatives import BladeNegatives
from prodmatch_blade.testing import power_law_world
from prodmatch_core.components.encoder import FitData
from prodmatch_core.components.loss import Output
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.evaluation.direction import direction_auc
from prodmatch_core.evaluation.retrieved import cosine_scorer, retrieve
from prodmatch_core.evaluation.search import Search
from prodmatch_core.evaluation.slices import quartile_of
from prodmatch_core.graph.csr import Graph
from prodmatch_core.registry import default_registry
from prodmatch_core.structure import Structurer
from prodmatch_core.tasks.base import TaskData, load_task
from prodmatch_core.testing.worlds import task_pipeline
from prodmatch_core.training import seeds
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.member import fit_member


def dataset(edges: list[tuple[int, int]], count: int) -> Dataset:
    n = len(edges)
    return Dataset(
        "graph",
        products=pl.DataFrame(
            {
                "product_id": [f"p{i:03}" for i in range(count)],
                "locale": ["en"] * count,
                "title": [f"thing {i}" for i in range(count)],
            }
        ),
        engagements=pl.DataFrame(
            {
                "src_kind": ["product"] * n,
                "src": [f"p{a:03}" for a, _ in edges],
                "relation": ["next"] * n,
                "dst_kind": ["product"] * n,
                "dst": [f"p{b:03}" for _, b in edges],
                "count": [1.0] * n,
            }
        ),
        source="made",
    )


def fit_data(made: Dataset) -> tuple[FitData, TaskData]:
    task = load_task("relate")
    found = task.examples(made, task_pipeline("relate"))
    train, valid = found.examples["train"], found.examples["valid"]
    return (
        FitData(found.corpus, train, valid, found.scheme, task.visible(made, found), found.relation),
        found,
    )


def dag(count: int = 60) -> list[tuple[int, int]]:
    """Return edges from each of the first 30 products to 8 of the others: none goes back."""
    rng = np.random.default_rng(4)
    half = count // 2
    groups = [[half + (5 * g + i) % half for i in range(10)] for g in range(6)]
    return sorted({(a, int(b)) for a in range(half) for b in rng.choice(groups[a % 6], 8, replace=False)})


def fitted(vectors: str, **negatives: Any) -> tuple[FittedMember, TaskData]:
    data, found = fit_data(dataset(dag(), 60))
    tree = {
        "pipeline": {"name": "dag", "task": "relate"},
        "data": {"use": "core.edges", "path": "none.csv"},
        "member": {
            "encoder": {"use": "blade.dual", "width": 16, "vectors": vectors},
            "sampler": {"use": "blade.adaptive", "fanouts": [6, 6]},
            "negatives": {"use": "blade.negatives", "count": 5, **negatives},
            "loss": {"use": "blade.asymmetric"},
            "training": {"batch_size": 64, "epochs": 25, "learning_rate": 0.03, "patience": 0},
        },
    }
    member = load_pipeline(tree).member[0]
    return fit_member(member, data, load_task("relate"), default_registry(), 0), found


def direction(model: FittedMember, found: TaskData) -> float:
    test = found.examples["test"]
    reads = [
        ("query", test.query),
        ("product", test.product),
        ("query", test.product),
        ("product", test.query),
    ]
    source, target, back_source, back_target = model.vectors(found.corpus, reads)
    return direction_auc((source * target).sum(1), (back_source * back_target).sum(1))


def test_1_one_vector_a_product_has_direction_auc_one_half_exactly() -> None:
    assert direction(*fitted("single", reverse=0.0)) == 0.5


@pytest.mark.parametrize("vectors", ["dual", "shared"])
def test_1_two_vectors_know_the_direction_of_a_graph_without_cycles(vectors: str) -> None:
    assert direction(*fitted(vectors)) > 0.9


def encoder(edges: list[tuple[int, int]], count: int, **fields: Any) -> tuple[DualEncoder, FitData]:
    data, _ = fit_data(dataset(edges, count))
    part = Structurer(default_registry()).part({"use": "blade.dual", "width": 8, **fields}, "encoder")
    with seeds.torch_seed(0, "weights"):
        return part.spec.load().build(part.config, data, np.random.default_rng(0)).eval(), data


def both(made: DualEncoder, data: FitData) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(data.corpus.products.height)
    with torch.inference_mode():
        found = made(made.prepare(data.corpus).batch(rows, rows))
    return found.query.numpy(), found.product.numpy()


def test_2_turning_every_edge_round_swaps_source_and_target_vectors() -> None:
    edges = dag()
    plain, data = encoder(edges, 60)
    turned, _ = encoder([(b, a) for a, b in edges], 60)
    # The same edges are known both times: which are hidden is drawn by name, so take what the first one knows.
    known = plain.surroundings.graph
    source = np.repeat(np.arange(known.nodes), known.degree())
    turned.surroundings = attrs.evolve(
        turned.surroundings,
        graph=Graph.from_edges(source ^ 1, known.targets ^ 1, known.nodes, None, known.relation),
    )
    turned.load_state_dict(plain.state_dict())
    with torch.no_grad():  # first vectors of the two places swap as well
        table = plain.table.weight[1:].view(-1, 2, plain.config.width)
        turned.table.weight[1:] = table.flip(1).reshape(-1, plain.config.width)
    (source_of, target_of), (turned_source, turned_target) = both(plain, data), both(turned, data)
    np.testing.assert_allclose(turned_source, target_of, atol=1e-5)
    np.testing.assert_allclose(turned_target, source_of, atol=1e-5)
    assert np.abs(source_of - target_of).max() > 0.1


@pytest.mark.parametrize(("count", "reverse"), [(4, 0.5), (8, 1.0), (2, 0.0)])
def test_3_at_zero_vectors_the_loss_of_one_edge_is_a_log_2_a_term(count: int, reverse: float) -> None:
    data, _ = fit_data(dataset(dag(), 60))
    negatives = BladeNegatives.build(BladeNegativesConfig(count=count, reverse=reverse), data)
    edge = data.train.take(np.array([0]))
    rows = edge.concat(negatives.propose(edge, np.random.default_rng(0)))
    zero = torch.zeros(len(rows), 8, requires_grad=True)
    output = Output(
        torch.from_numpy(rows.label), torch.from_numpy(rows.weight), embeddings=zero, references=zero
    )
    loss = AsymmetricLoss(AsymmetricConfig(bias=0.0))(output)
    # A drawn product that is known to follow, or the product itself, is no term.
    drawn = int((rows.weight[1:] == 1).sum()) - (1 if reverse == 1.0 else 0)
    assert drawn > 0
    assert float(loss.detach()) == pytest.approx((1 + drawn + reverse) * math.log(2), rel=1e-6)


def test_4_an_edge_known_both_ways_adds_no_reverse_term() -> None:
    edges = [*dag(), (31, 1), (1, 31)]
    data, _ = fit_data(dataset(sorted(set(edges)), 60))
    config = BladeNegativesConfig(count=0, reverse=0.7)
    negatives = BladeNegatives.build(config, data)
    train = data.train
    known = {
        (int(q), int(p))
        for part in (train, data.valid)
        for q, p in zip(part.query, part.product, strict=True)
    }
    rows = negatives.propose(train, np.random.default_rng(0))
    turned = set(zip(rows.query.tolist(), rows.product.tolist(), strict=True))
    expected = {
        (p, q)
        for q, p in zip(train.query.tolist(), train.product.tolist(), strict=True)
        if (p, q) not in known
    }
    assert turned == expected and (1, 31) not in turned and (31, 1) not in turned
    assert set(rows.weight.tolist()) == {np.float32(0.7)}


def power_law_graph() -> Graph:
    rng = np.random.default_rng(0)
    popular = (rng.pareto(1.2, size=3000) * 20).astype(np.int64) % 300
    return Graph.from_edges(popular, rng.integers(300, size=3000), 300)


@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
def test_5_neighbourhoods_shrink_as_degrees_grow_between_their_bounds(alpha: float) -> None:
    config = AdaptiveConfig(alpha=alpha, least=3, smallest=2)
    found = neighbours(np.arange(1, 2000), 20, config)
    assert (np.diff(found) <= 0).all()
    assert found.max() == 20 and found.min() == max(3, math.ceil(20 * (1999 / 2) ** -alpha))
    assert found[1] == 20 and found[8 - 1] == max(3, math.ceil(20 * 4**-alpha))


def test_5_at_alpha_0_the_law_is_the_fixed_sampler_draw_by_draw() -> None:
    from prodmatch_core.builtin.configs import UniformSamplerConfig
    from prodmatch_core.builtin.neighbour_samplers import UniformSampler

    graph = power_law_graph()
    adaptive = AdaptiveSampler.build(AdaptiveConfig(fanouts=(5, 3), alpha=0.0), graph)
    fixed = UniformSampler.build(UniformSamplerConfig((5, 3)), graph)
    for seed in range(20):
        pair = [part.sample(np.arange(40), np.random.default_rng(seed)) for part in (adaptive, fixed)]
        for left, right in zip(*pair, strict=True):
            np.testing.assert_array_equal(left.edge, right.edge)


@pytest.mark.parametrize("gamma", [0.0, 0.75, -0.5])
def test_6_neighbours_are_drawn_as_often_as_their_degree_to_the_power_gamma(gamma: float) -> None:
    graph = power_law_graph()
    node = int(np.argmin(np.abs(graph.degree() - 12)))
    part = AdaptiveSampler.build(AdaptiveConfig(fanouts=(1,), least=1, gamma=gamma), graph)
    row = slice(graph.offsets[node], graph.offsets[node + 1])
    wanted = np.maximum(graph.degree()[graph.targets[row]], 1) ** float(gamma)
    wanted = wanted / wanted.sum()
    counts, rng, draws = np.zeros(len(wanted)), np.random.default_rng(1), 6000
    for _ in range(draws):
        (block,) = part.sample(np.array([node]), rng)
        counts[block.edge - row.start] += 1
    assert chisquare(counts, wanted * draws).pvalue > 1e-4


@pytest.mark.parametrize("fields", [{}, {"vectors": "shared"}, {"upto": 6}])
def test_7_products_without_an_edge_have_finite_vectors(fields: dict[str, Any]) -> None:
    made, data = encoder(dag(), 70, **fields)
    source, target = both(made, data)
    assert np.isfinite(source).all() and np.isfinite(target).all()
    np.testing.assert_allclose(np.linalg.norm(source, axis=1), made.config.radius, rtol=1e-5)


SEEDS = (0, 1)
WORDS = {"use": "core.ngram", "mode": "two_tower", "width": 16, "buckets": 256}


def ranked(seed: int, upto: int, law: dict[str, Any], reverse: float) -> dict[str, float]:
    """Return hit rate@10 in the lowest and in the highest quartile of known edges, and direction AUC."""
    data, found = fit_data(power_law_world(seed))
    tree = {
        "pipeline": {"name": "power-law", "task": "relate"},
        "data": {"use": "core.edges", "path": "none.csv"},
        "member": {
            "encoder": {"use": "blade.dual", "width": 16, "learnt": False, "text": WORDS, "upto": upto},
            "sampler": {"use": "blade.adaptive", **law},
            "negatives": {"use": "blade.negatives", "count": 4, "reverse": reverse},
            "loss": [{"use": "core.in_batch_softmax"}, {"use": "blade.asymmetric", "weight": 0.1}],
            "training": {"batch_size": 128, "epochs": 10, "learning_rate": 0.02, "patience": 0},
        },
    }
    model = fit_member(load_pipeline(tree).member[0], data, load_task("relate"), default_registry(), seed)
    test, known = found.examples["test"], found.examples["train"].concat(found.examples["valid"])
    count = found.corpus.products.height
    search = Search.of(load_task("relate").spec, test, known, count)
    sources = search.reads[0][1]
    source, target = model.vectors(found.corpus, [("query", sources), ("product", np.arange(count))])
    queries = np.arange(len(sources))
    nearest = retrieve(cosine_scorer(source, target), len(sources), count, search.wanted, queries, 10)
    hit = nearest.hits.any(axis=1)
    quartile = quartile_of(np.bincount(known.query, minlength=count)[sources])
    lowest, highest = (float(hit[quartile == number].mean()) for number in (0, 3))
    return {"lowest": lowest, "highest": highest, "direction": direction(model, found)}


UNIFORM = {"fanouts": [4, 4], "alpha": 0.0}
BIASED = {"fanouts": [8, 8], "alpha": 0.5, "least": 3}
"Products of fewest edges read 8 neighbours, walks bringing them there, those of more than 7 read 3."


def test_8_on_a_power_law_graph_biased_sampling_helps_those_of_fewest_edges_and_the_reverse_term_direction() -> (
    None
):
    means = {
        name: {figure: np.mean([run[figure] for run in runs]) for figure in runs[0]}
        for name, runs in {
            "uniform": [ranked(seed, 0, UNIFORM, 1.0) for seed in SEEDS],
            "biased": [ranked(seed, 8, BIASED, 1.0) for seed in SEEDS],
            "no reverse": [ranked(seed, 0, UNIFORM, 0.0) for seed in SEEDS],
        }.items()
    }
    assert means["biased"]["lowest"] > means["uniform"]["lowest"] + 0.03
    assert means["biased"]["highest"] > means["uniform"]["highest"] - 0.02
    assert means["no reverse"]["direction"] < means["uniform"]["direction"] - 0.01
