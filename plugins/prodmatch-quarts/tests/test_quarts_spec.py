"""What the method promises, one test each: switch, mix, loss, pre-training, collapse, shortcut, hardness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import polars as pl
import pytest
import torch

from prodmatch_core.components.encoder import Encoding, FitData, States
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import match_examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.data.shop.generate import make_shop
from prodmatch_core.registry import default_registry
from prodmatch_core.sections import Member
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training import seeds
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.member import fit_member
from prodmatch_core.training.model import MemberModel, Objective
from prodmatch_core.training.prediction import to_tensors
from prodmatch_quarts import pretraining, probes
from prodmatch_quarts.attention import AttentionEncoder
from prodmatch_quarts.configs import AttentionConfig, VariationalConfig
from prodmatch_quarts.switch import Switch
from prodmatch_quarts.tuples import Tuples
from prodmatch_quarts.variational import VariationalGenerator, taken

BETA = 5.0
ATTENTION = {"use": "quarts.attention", "vocabulary": 2000, "width": 32, "hidden": 32}
SMALL = {"latent": 16, "hidden": 32, "tuples": 400, "epochs": 4, "written": 50}
BINARY = Switch(positive=(0,), worst=1)


def make_world(size: int) -> FitData:
    """A shop whose labels are match and mismatch."""
    dataset = make_shop(ShopConfig(size=size, events_per_judgement=0.0))
    scheme = attrs.evolve(
        dataset.scheme, name="binary", labels=("exact", "other"), gains=(1, 0), positive=("exact",)
    )
    judgements = dataset.judgements.with_columns(
        label=dataset.judgements["label"].replace_strict({"exact": "exact"}, default="other")
    )
    dataset = attrs.evolve(dataset, scheme=scheme, judgements=judgements)
    corpus, examples, _ = match_examples(dataset)
    return FitData(corpus, examples["train"], examples["valid"], scheme, dataset)


@pytest.fixture(scope="module")
def shop() -> FitData:
    return make_world(3000)


def member(negatives: Mapping[str, Any] | None = None, epochs: int = 2) -> Member:
    tree = {
        "pipeline": {"name": "quarts"},
        "data": {"use": "shop.synthetic"},
        "member": [
            {
                "name": "m",
                "encoder": ATTENTION,
                "loss": [{"use": "core.cross_entropy", "class_weights": [1, BETA]}],
                "training": {"epochs": epochs, "batch_size": 64, "learning_rate": 0.003, "patience": 0},
                **({"negatives": dict(negatives)} if negatives else {}),
            }
        ],
    }
    raw = {**tree, "data": {"use": "core.homedepot", "scheme": "binary"}}
    return load_pipeline(raw).member[0]


def fitted(data: FitData, negatives: Mapping[str, Any] | None, epochs: int = 2) -> tuple[FittedMember, list]:
    log: list[Mapping[str, Any]] = []
    found = fit_member(
        member(negatives, epochs), data, load_task("match"), default_registry(), 0, on_epoch=log.append
    )
    return found, log


def encoder_of(data: FitData) -> AttentionEncoder:
    with seeds.torch_seed(0, "test"):
        config = AttentionConfig(vocabulary=2000, width=32, hidden=32)
        return AttentionEncoder.build(config, data, seeds.rng(0, "test")).eval()


def generator_of(data: FitData, encoder: AttentionEncoder, **fields: Any) -> VariationalGenerator:
    config = VariationalConfig(**{**SMALL, "after": 0, **fields})
    return VariationalGenerator.build(config, data, encoder, seeds.rng(0, "generator"))


def even(encoding: Encoding) -> torch.Tensor:
    """A member that cannot tell anything."""
    return torch.full((len(encoding.query_states.hidden), 2), 0.5)


def sample(data: FitData, rows: int = 24) -> Any:
    return data.train.take(np.arange(rows))


# -- 1: the truth table ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("y", "z", "s"), [(0, 0, False), (0, 1, True), (1, 0, False), (1, 1, False)])
def test_only_a_match_that_is_drawn_is_switched_and_becomes_a_mismatch(y: int, z: int, s: bool) -> None:
    labels = torch.tensor([y])
    chosen = BINARY.draw(labels, float(z), np.random.default_rng(0))
    assert chosen.tolist() == [s]
    query = States(torch.zeros(1, 2, 3), torch.ones(1, 2, dtype=torch.bool))
    mixed = BINARY.mix(
        Encoding(query_states=query), labels, chosen, States(query.hidden[chosen], query.mask[chosen])
    )
    assert mixed.labels.tolist() == [y + int(s)]


# -- 2: gradients at the mix ----------------------------------------------------------------------------------


def test_each_row_passes_its_gradient_to_the_side_it_was_taken_from_alone() -> None:
    read = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    written = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    chosen = torch.tensor([True, False, True])
    mask = torch.ones(3, 4, dtype=torch.bool)
    mixed = BINARY.mix(
        Encoding(query_states=States(read, mask)),
        torch.zeros(3, dtype=torch.int64),
        chosen,
        States(written[chosen], torch.ones(2, 6, dtype=torch.bool)),
    )
    mixed.encoding.query_states.hidden.square().sum().backward()
    assert (written.grad[1] == 0).all() and (written.grad[[0, 2]] != 0).all()
    assert (read.grad[[0, 2]] == 0).all() and (read.grad[1] != 0).all()


# -- 3: nothing changes where nothing is switched -------------------------------------------------------------


def test_a_rate_of_zero_is_the_classifier_alone_bit_for_bit(shop: FitData) -> None:
    small = attrs.evolve(shop, train=shop.train.take(np.arange(400)), valid=shop.valid.take(np.arange(50)))
    alone, its_log = fitted(small, None)
    beside, log = fitted(small, {"use": "quarts.variational", "rate": 0.0, "after": 0, **SMALL})
    assert [epoch["loss"] for epoch in log] == [epoch["loss"] for epoch in its_log]
    theirs = beside.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in alone.model.state_dict().items())


def test_evaluation_switches_nothing(shop: FitData) -> None:
    encoder = encoder_of(shop)
    generator = generator_of(shop, encoder, rate=1.0, epochs=1)
    generator.refresh(0, seeds.rng(0, "refresh"), even)
    task = load_task("match")
    with seeds.torch_seed(0, "head"):
        head = task.head(encoder.width, frozenset({"pairs"}), shop.scheme)
    with_it = MemberModel(encoder, head, task, generator).eval()
    without = MemberModel(encoder, head, task).eval()
    examples = sample(shop)
    batch, labels, weights = to_tensors(
        encoder.prepare(shop.corpus), examples, torch.device("cpu"), task.sides
    )
    assert torch.equal(with_it(batch, labels, weights)[0].logits, without(batch, labels, weights)[0].logits)
    mixed = with_it(batch, labels, weights, seeds.rng(0, "mix"))[0]
    assert (mixed.labels == 1).all(), "the generator was there and would have switched every match"


# -- 4: padding -----------------------------------------------------------------------------------------------


def test_the_selected_query_decides_the_last_state_and_padding_nothing(shop: FitData) -> None:
    encoder = encoder_of(shop)
    generator = generator_of(shop, encoder, rate=1.0)
    generator.refresh(0, seeds.rng(0, "refresh"), even)
    examples = sample(shop, 12)
    prepared = encoder.prepare(shop.corpus)
    encoding = encoder.encode(prepared.batch(examples.query, examples.product))
    labels = torch.from_numpy(examples.label)
    chosen = BINARY.matches(labels)
    states, _ = generator.states(taken(encoding, chosen), probes.noise_of(generator, seeds.rng(1, "noise")))
    together = encoder.interact(BINARY.mix(encoding, labels, chosen, states).encoding).pair
    generated = iter(range(int(chosen.sum())))
    lengths = set()
    for row in range(12):
        alone = taken(encoding, torch.tensor([row]))
        if chosen[row]:
            number = next(generated)
            length = int(states.mask[number].sum())
            one = States(
                states.hidden[number : number + 1, :length], states.mask[number : number + 1, :length]
            )
        else:
            length = int(alone.query_states.mask.sum())
            one = States(alone.query_states.hidden[:, :length], alone.query_states.mask[:, :length])
        lengths.add(length)
        expected = encoder.interact(attrs.evolve(alone, query_states=one)).pair[0]
        torch.testing.assert_close(together[row], expected, atol=1e-5, rtol=1e-5)
    assert len(lengths) > 1


# -- 5: the loss ----------------------------------------------------------------------------------------------


def test_the_loss_is_the_weighted_cross_entropy_with_beta_on_generated_rows(shop: FitData) -> None:
    encoder = encoder_of(shop)
    generator = generator_of(shop, encoder, rate=0.5)
    generator.refresh(0, seeds.rng(0, "refresh"), even)
    task = load_task("match")
    with seeds.torch_seed(0, "head"):
        head = task.head(encoder.width, frozenset({"pairs"}), shop.scheme)
    model = MemberModel(encoder, head, task, generator).eval()
    entry = member().loss[0]
    loss = entry.part.spec.load()(entry.part.config, shop.scheme)
    batch, labels, weights = to_tensors(
        encoder.prepare(shop.corpus), sample(shop), torch.device("cpu"), task.sides
    )
    found, _ = Objective(model, [(1.0, loss)])(batch, labels, weights, seeds.rng(3, "mix"))

    output, _ = model(batch, labels, weights, seeds.rng(3, "mix"))
    switched = (output.labels != labels).sum()
    assert 0 < switched < (labels == 0).sum()
    total = above = 0.0
    for logits, label in zip(output.logits.tolist(), output.labels.tolist(), strict=True):
        factor = BETA if label == 1 else 1.0
        above += factor * (np.log(np.exp(logits).sum()) - logits[label])
        total += factor
    assert float(found) == pytest.approx(above / total, rel=1e-5)


# -- 6: pre-training ------------------------------------------------------------------------------------------


def test_pre_training_leaves_the_encoder_as_it_is(shop: FitData) -> None:
    encoder = encoder_of(shop)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    generator = generator_of(shop, encoder)
    own = {name: value.clone() for name, value in generator.network.state_dict().items()}
    generator.refresh(0, seeds.rng(0, "refresh"), even)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert not all(torch.equal(value, own[name]) for name, value in generator.network.state_dict().items())


def test_no_item_has_tuples_on_both_sides_of_the_split(shop: FitData) -> None:
    rng = seeds.rng(0, "tuples")
    found = Tuples.build(shop, 400, rng)
    train, held = found.divided(rng)
    assert len(train) + len(held) == len(found) and len(held) > 0
    assert not np.isin(held.product, train.product).any()


def test_tuples_hold_a_match_and_a_query_that_is_no_known_match(shop: FitData) -> None:
    found = Tuples.build(shop, 400, seeds.rng(0, "tuples"))
    label = dict(zip(zip(shop.train.query, shop.train.product, strict=True), shop.train.label, strict=True))
    assert all(label[q, p] == 0 for q, p in zip(found.query, found.product, strict=True))
    others = [label.get((q, p)) for q, p in zip(found.mismatch, found.product, strict=True)]
    assert others.count(1) == found.counts["tuples_judged"] > 0
    assert others.count(None) == found.counts["tuples_near"] > 0
    assert 0 not in others


def test_the_likelihood_of_a_token_is_its_share_and_has_the_same_gradient(shop: FitData) -> None:
    encoder = encoder_of(shop)
    generator = generator_of(shop, encoder)
    tuples, lessons = generator.tuples[0].take(np.arange(6)), generator.lessons
    ids, mask = lessons.written(tuples.mismatch)
    memory = generator.network.read(lessons.read(tuples.query, tuples.product))
    gradients = []
    for way in ("shares", "likelihood"):
        told, _ = generator.network.taught(memory, memory.draw(None), ids)
        places = torch.nn.functional.pad(mask, (0, 1))
        wanted = torch.nn.functional.pad(ids, (0, 1))
        found = (
            told.shares()[places].gather(1, wanted[places][:, None])[:, 0]
            if way == "shares"
            else told.likelihood(wanted, places)
        )
        parameters = [generator.network.words.weight, generator.network.copies.weight]
        gradients.append((found, *torch.autograd.grad(found.sum(), parameters, retain_graph=True)))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("learns", ["frozen", "tuples"])
def test_the_classifiers_loss_does_not_reach_a_generator_that_is_not_joint(
    shop: FitData, learns: str
) -> None:
    encoder = encoder_of(shop)
    generator = generator_of(shop, encoder, rate=1.0, learns=learns)
    generator.refresh(0, seeds.rng(0, "refresh"), even)
    examples = sample(shop)
    batch, labels, _ = to_tensors(
        encoder.prepare(shop.corpus), examples, torch.device("cpu"), ("query", "product")
    )
    mixed = generator.mix(encoder.encode(batch), labels, seeds.rng(0, "mix"))
    encoder.interact(mixed.encoding).pair.sum().backward()
    assert all(p.grad is None for p in generator.network.parameters())
    assert (mixed.penalty is None) == (learns == "frozen")
    if mixed.penalty is not None:
        encoder.zero_grad()
        mixed.penalty.backward()
        assert any(p.grad is not None for p in generator.network.parameters())
        assert all(p.grad is None for p in encoder.parameters()), "the encoder learns nothing from tuples"


# -- 7: it can learn, and collapse is told --------------------------------------------------------------------


def test_it_learns_64_tuples_by_heart_without_collapsing(shop: FitData) -> None:
    encoder = encoder_of(shop)
    fields = {
        "epochs": 300,
        "learning_rate": 1e-2,
        "word_dropout": 0.0,
        "kl": 0.01,
        "align": 0.0,
        "hidden": 64,
    }
    generator = generator_of(shop, encoder, **fields)
    # One tuple an item: what follows from the same pair twice cannot be learnt by heart.
    few = generator.tuples[0].take(np.unique(generator.tuples[0].product, return_index=True)[1][:64])
    assert len(few) == 64
    found = pretraining.pretrain(
        generator.network, generator.lessons, few, few, generator.config, seeds.rng(0, "learn")
    )
    assert found["token_accuracy"] > 0.95
    assert found["kl"] > probes.LEAST_KL
    noise = probes.noise_of(generator, seeds.rng(0, "noise"))
    encoding = generator.lessons.read(few.query, few.product)
    with torch.no_grad():
        assert probes.latent_figures(generator, encoding, noise)["distinct"] > 1


FINE = {
    "kl": 2.0,
    "distinct": 5.0,
    "overlap_generated": 0.6,
    "told_apart": 0.99,
    "p_mismatch_match": 0.1,
    "p_mismatch_generated": 0.9,
    "p_mismatch_true_decoded": 0.15,
}


def test_alarms_name_what_is_wrong_and_the_remedy() -> None:
    assert probes.alarms(FINE) == []
    assert probes.alarms({**FINE, "kl": 0.01, "distinct": 1.0}) == [
        "collapse: the latent says 0.010 nats, less than 0.1; the decoder ignores it. Lower kl or raise word_dropout.",
        "collapse: 10 draws give one and the same query an item. Lower kl or raise word_dropout.",
    ]
    assert probes.alarms({**FINE, "overlap_generated": 0.97}) == [
        "copies: 97% of the tokens it writes are in the true query, which mostly matches still. It has not learnt "
        "enough: raise tuples or epochs."
    ]
    assert probes.alarms({**FINE, "p_mismatch_true_decoded": 0.8}) == [
        "shortcut: the classifier knows generated states by their make (a linear probe tells them apart, AUC 0.99): it "
        'calls the true query, decoded, a mismatch with 0.80, read 0.10. Use states = "reread".'
    ]


# -- 8: the shortcut ------------------------------------------------------------------------------------------


def test_the_linear_probe_tells_decoder_states_by_their_make(shop: FitData) -> None:
    encoder = encoder_of(shop)
    generator = generator_of(shop, encoder, align=0.0, epochs=1)
    generator.refresh(0, seeds.rng(0, "refresh"), even)
    assert generator.figures["told_apart"] > 0.95


def test_the_true_query_reread_is_what_was_read(shop: FitData) -> None:
    encoder = encoder_of(shop)
    generator = generator_of(shop, encoder, states="reread")
    examples = sample(shop)
    encoding = generator.lessons.read(examples.query, examples.product)
    decoded = probes.decoded_truth(generator, encoding, examples.query)
    longest = decoded.mask.shape[1]
    assert torch.equal(decoded.mask, encoding.query_states.mask[:, :longest])
    torch.testing.assert_close(
        decoded.hidden[decoded.mask], encoding.query_states.hidden[:, :longest][decoded.mask]
    )


# -- 9: hardness ----------------------------------------------------------------------------------------------

COLOURS = [
    "red",
    "blue",
    "green",
    "black",
    "white",
    "grey",
    "pink",
    "yellow",
    "orange",
    "purple",
    "brown",
    "silver",
]
THINGS = [
    "phone case",
    "desk lamp",
    "rain jacket",
    "water bottle",
    "tea towel",
    "bike helmet",
    "yoga mat",
    "garden hose",
    "wall clock",
    "hand saw",
]
SIZES = ["small", "medium", "large"]


@pytest.fixture(scope="module")
def trained() -> list[Mapping[str, Any]]:
    """The log of a classifier that has learnt for some epochs before the generator looks on.

    A query names a colour, a thing and a size; a title that differs in one of them does not match.
    """
    rng = seeds.rng(0, "trade")
    queries = [(c, t, s) for c in COLOURS for t in THINGS for s in SIZES]
    pairs = []
    for number, wanted in enumerate(queries):
        for _ in range(8):
            found = list(wanted)
            if rng.random() < 0.5:
                place = int(rng.integers(3))
                found[place] = str(rng.choice((COLOURS, THINGS, SIZES)[place]))
            pairs.append((number, tuple(found), "match" if tuple(found) == wanted else "mismatch"))
    titles = sorted({found for _, found, _ in pairs})
    row = {found: f"p{number}" for number, found in enumerate(titles)}
    judged = {(number, row[found]): label for number, found, label in pairs}
    dataset = Dataset(
        "trade",
        scheme=LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",)),
        products=pl.DataFrame(
            {
                "product_id": list(row.values()),
                "locale": ["en"] * len(row),
                "title": [f"{t}, {s}, in {c}, new" for c, t, s in titles],
            }
        ),
        queries=pl.DataFrame(
            {
                "query_id": [str(number) for number in range(len(queries))],
                "locale": ["en"] * len(queries),
                "text": [f"{c} {t} {s}" for c, t, s in queries],
            }
        ),
        judgements=pl.DataFrame(
            {
                "query_id": [str(number) for number, _ in judged],
                "product_id": [product for _, product in judged],
                "label": list(judged.values()),
                "split": ["valid" if number % 10 == 0 else "train" for number, _ in judged],
            }
        ),
    )
    corpus, examples, _ = match_examples(dataset)
    data = FitData(corpus, examples["train"], examples["valid"], dataset.scheme, dataset)
    negatives = {"use": "quarts.variational", "after": 3, "states": "reread", **SMALL, "tuples": 600}
    return fitted(data, {**negatives, "epochs": 25, "learning_rate": 5e-3}, epochs=4)[1]


def test_generated_queries_are_harder_than_random_ones_and_no_matches(trained: list) -> None:
    figures = trained[-1]["negatives"]
    assert figures["p_mismatch_match"] < figures["p_mismatch_generated"] < figures["p_mismatch_random"]


def test_generated_queries_share_more_words_with_the_true_one_than_random_ones_do(trained: list) -> None:
    figures = trained[-1]["negatives"]
    assert figures["overlap_generated"] > figures["overlap_random"] + 0.05
