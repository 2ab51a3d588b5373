"""What the method's mathematics promises: additivity, placed members, K = M, out-of-fold stacking, measures by hand."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from prodmatch_core.components.aggregator import Cost, MemberPredictions
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.errors import DataError, RunError
from prodmatch_core.training import seeds
from prodmatch_ensemble import cascade
from prodmatch_ensemble.aggregators import SelectAggregator, TreesAggregator, table_of
from prodmatch_ensemble.configs import SelectConfig, TreesConfig
from prodmatch_ensemble.figures import confusion, measured
from prodmatch_ensemble.importance import importance_of
from prodmatch_ensemble.selection import Tried, frontier
from prodmatch_ensemble.side import Side
from prodmatch_ensemble.table import merged
from prodmatch_ensemble.trees import Trees, held_out, softmax
from prodmatch_ensemble.worth import worth_of_each

QUICK = TreesConfig(rounds=40, patience=0, start="zero")
STARTS = [QUICK, attrs.evolve(QUICK, start="logistic")]
NAMES = ("text", "words", "graph")


def predictions(seed: int, rows: int = 1800, per_query: int = 12) -> MemberPredictions:
    """Return three members that know different things of four skewed classes; rows of a query share a difficulty."""
    rng = seeds.rng(seed, "members")
    query = np.arange(rows) // per_query
    labels = rng.choice(4, size=rows, p=[0.6, 0.22, 0.04, 0.14])
    truth = np.eye(4)[labels]
    hard = rng.normal(0, 0.6, size=(query.max() + 1, 3))[query]
    tables = []
    for place, (skill, noise) in enumerate(((1.4, 1.0), (1.1, 1.0), (0.8, 1.2))):
        logits = (skill + hard[:, place : place + 1]) * truth + rng.normal(0, noise, size=(rows, 4))
        tables.append(softmax(logits + np.log([0.6, 0.22, 0.04, 0.14])))
    return MemberPredictions(NAMES, np.stack(tables, axis=1), labels, query, np.ones(rows))


def with_member(said: MemberPredictions, name: str, table: np.ndarray) -> MemberPredictions:
    return attrs.evolve(
        said,
        names=(*said.names, name),
        probabilities=np.concatenate([said.probabilities, table[:, None]], axis=1),
        uncertainty=np.full((len(table), len(said.names) + 1), np.nan),
    )


def fitted(said: MemberPredictions, config: TreesConfig = QUICK) -> TreesAggregator:
    made = (SelectAggregator if isinstance(config, SelectConfig) else TreesAggregator).build(config, ESCI)
    made.fit(said, np.random.default_rng(5))
    return made


def shares(made: TreesAggregator) -> dict[str, float]:
    assert made.learnt is not None
    total = made.learnt.importance.total
    return dict(zip(made.learnt.importance.sources, (total / total.sum()).tolist(), strict=True))


# -- 1. additivity -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", STARTS, ids=lambda config: config.start)
def test_contributions_and_base_add_up_to_the_raw_scores(config: TreesConfig) -> None:
    made, other = fitted(predictions(0), config), predictions(1, 240)
    assert made.learnt is not None
    found = made.contributions(other)
    scores = made.learnt.trees.scores(table_of(other, ESCI, Side()))
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), scores, atol=1e-5)
    np.testing.assert_allclose(softmax(scores), made.combine(other).probabilities, atol=1e-12)


def test_contributions_equal_those_of_shap() -> None:
    shap = pytest.importorskip(
        "shap",
        reason="shap is not installed; it comes with the extra: pip install 'prodmatch-ensemble[test]'",
    )
    made = fitted(predictions(0))
    assert made.learnt is not None
    table = table_of(predictions(1, 120), ESCI, Side())
    explainer = shap.TreeExplainer(made.learnt.trees.booster, feature_perturbation="tree_path_dependent")
    ours, base = next(made.learnt.trees.contributions(table))
    np.testing.assert_allclose(ours, explainer.shap_values(table.values), atol=1e-5)
    np.testing.assert_allclose(base, explainer.expected_value, atol=1e-5)


def test_a_linear_start_is_shared_out_by_the_distance_from_the_mean() -> None:
    made = fitted(
        predictions(0), attrs.evolve(QUICK, start="logistic", rounds=1, learning_rate=1e-9, balance=0.0)
    )
    assert made.learnt is not None and made.learnt.trees.start is not None
    table = table_of(predictions(0), ESCI, Side())
    values, _ = made.learnt.trees.start.parts(table)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-8)
    reg = made.learnt.trees.start.regression
    by_hand = (table.logs()[:, 5] - reg.mean[5]) / reg.scale[5] * reg.coefficients[5, 2]
    np.testing.assert_allclose(values[:, 5, 2], by_hand)


# -- 2. noise, duplicate, oracle ---------------------------------------------------------------------------------


@pytest.mark.parametrize("config", STARTS, ids=lambda config: config.start)
def test_a_member_of_pure_noise_ranks_last(config: TreesConfig) -> None:
    said = predictions(0)
    noise = seeds.rng(9, "noise").dirichlet(np.ones(4), size=len(said.labels))
    assert fitted(with_member(said, "noise", noise), config).learnt.importance.ranking()[-1] == "noise"


@pytest.mark.parametrize("config", STARTS, ids=lambda config: config.start)
def test_a_member_that_copies_the_label_ranks_first(config: TreesConfig) -> None:
    said = predictions(0)
    oracle = 0.9 * np.eye(4)[said.labels] + 0.025
    assert fitted(with_member(said, "oracle", oracle), config).learnt.importance.ranking()[0] == "oracle"


@pytest.mark.parametrize("config", STARTS, ids=lambda config: config.start)
def test_two_copies_share_about_the_importance_of_one(config: TreesConfig) -> None:
    said = predictions(0)
    alone = shares(fitted(said, config))
    twice = shares(fitted(with_member(said, "copy", said.probabilities[:, 0]), config))
    assert twice["text"] + twice["copy"] == pytest.approx(alone["text"], abs=0.08)
    assert min(twice["text"], twice["copy"]) > 0.15 * alone["text"]


def test_a_copy_saves_nothing_and_an_independent_member_does() -> None:
    said = predictions(0, rows=2400)
    wider = with_member(said, "copy", said.probabilities[:, 0])
    found = {one.name: one for one in worth_of_each(table_of(wider, ESCI, Side()), STARTS[1], 4, 0)}
    assert found["words"].verdict == "helps"
    assert abs(found["copy"].gain) < 0.2 * found["words"].gain


# -- 3. selection ------------------------------------------------------------------------------------------------


def test_keeping_all_members_is_the_full_ensemble() -> None:
    said, other = predictions(0), predictions(1, 240)
    whole = fitted(said).combine(other).probabilities
    config = SelectConfig(rounds=40, patience=0, start="zero", keep=3, subsets=1)
    np.testing.assert_array_equal(fitted(said, config).combine(other).probabilities, whole)


def test_dropping_a_member_of_no_importance_changes_nothing() -> None:
    said, other = predictions(0), predictions(1, 240)

    def silent(these: MemberPredictions) -> MemberPredictions:
        return with_member(these, "silent", np.full((len(these.labels), 4), 0.25))

    made = fitted(silent(said))
    assert shares(made)["silent"] == 0
    with_, without = made.combine(silent(other)).probabilities, fitted(said).combine(other).probabilities
    np.testing.assert_array_equal(with_, without)


def test_the_members_of_greatest_shapley_value_are_kept_and_the_trees_are_grown_anew() -> None:
    said = predictions(0)
    ranking = fitted(said).learnt.importance.ranking()
    made = fitted(said, SelectConfig(rounds=40, patience=0, start="zero", keep=2, subsets=1))
    assert set(made.reads(NAMES)) == set(ranking[:2])
    again = fitted(said.of(made.reads(NAMES)))
    other = predictions(1, 240)
    np.testing.assert_array_equal(
        made.combine(other).probabilities, again.combine(other.of(made.reads(NAMES))).probabilities
    )


def test_under_a_budget_the_best_set_within_it_is_kept() -> None:
    said = attrs.evolve(predictions(0), costs=(Cost(5, 9.0, 90), Cost(1, 1.5, 20), Cost(1, 1.5, 20)))
    config = SelectConfig(rounds=15, patience=0, budget_ms=4.0)
    made = fitted(said, config)
    assert made.learnt is not None and made.learnt.selection is not None
    assert set(made.reads(NAMES)) == {"words", "graph"}
    tried = made.learnt.selection.tried
    assert len(tried) == 7
    fitting = [one for one in tried if one.within(config)]
    assert {one.members for one in fitting} == {("words",), ("graph",), ("words", "graph")}
    assert max(fitting, key=lambda one: one.quality).members == made.learnt.selection.kept


def test_no_set_within_the_budget_is_an_error_that_says_what_members_cost() -> None:
    said = attrs.evolve(predictions(0, 480), costs=(Cost(5, 9.0, 90), Cost(1, 1.5, 20), Cost(1, 2.5, 30)))
    with pytest.raises(DataError) as error:
        fitted(said, SelectConfig(rounds=20, patience=0, budget_ms=1.0))
    assert str(error.value) == (
        "ensemble.select: no set of members is within the budget; they cost text 9 ms 90 MB, words 1.5 ms 20 MB, "
        "graph 2.5 ms 30 MB. Raise aggregator.budget_ms or aggregator.budget_mb, or add a cheaper member."
    )


def test_the_frontier_holds_the_sets_that_none_is_better_and_cheaper_than() -> None:
    cheap, dear, bad = Tried(("a",), 0.5, 1, 1, 1), Tried(("b",), 0.7, 3, 3, 1), Tried(("c",), 0.6, 4, 4, 1)
    assert frontier([bad, dear, cheap]) == [cheap, dear]


# -- 4. out-of-fold stacking -------------------------------------------------------------------------------------


def test_out_of_fold_stacking_beats_the_best_member_and_in_sample_stacking() -> None:
    said, other = predictions(0, 3600), predictions(1, 3600)
    # A member that has learnt its training rows by heart: right on them, no better than before on others.
    heart = said.probabilities.copy()
    heart[:, 2] = 0.97 * np.eye(4)[said.labels] + 0.0075
    config = TreesConfig(rounds=150, patience=20)
    outside, inside = fitted(said, config), fitted(attrs.evolve(said, probabilities=heart), config)

    def accuracy(probabilities: np.ndarray, of: MemberPredictions = other) -> float:
        return float((probabilities.argmax(axis=1) == of.labels).mean())

    best = max(accuracy(other.probabilities[:, place]) for place in range(3))
    assert accuracy(outside.combine(other).probabilities) > best + 0.01
    assert (
        accuracy(inside.combine(other).probabilities) < accuracy(outside.combine(other).probabilities) - 0.05
    )
    told = accuracy(inside.combine(attrs.evolve(said, probabilities=heart)).probabilities, said)
    assert told > accuracy(inside.combine(other).probabilities) + 0.2  # the gap that in-sample stacking hides


def test_trees_are_held_out_by_query() -> None:
    said = predictions(0, 1200)
    # Each query has a label of its own that only rows of the same query could give away.
    labels = seeds.rng(3, "labels").integers(4, size=100)[said.groups]
    mark = 0.7 * np.eye(4)[(said.groups * 7) % 4] + 0.075
    table = table_of(
        attrs.evolve(said, labels=labels, probabilities=np.stack([mark] * 3, axis=1)), ESCI, Side()
    )
    found = held_out(table, QUICK, 4, 0)
    assert (found.argmax(axis=1) == labels).mean() < 0.4


# -- 6. measures -------------------------------------------------------------------------------------------------


def test_measures_of_a_confusion_matrix_of_four_classes_by_hand() -> None:
    matrix = np.array([[50, 5, 0, 5], [10, 8, 1, 1], [2, 1, 1, 0], [4, 2, 0, 10]], dtype=float)
    found = measured(matrix)
    f1 = [2 * 50 / (60 + 66), 2 * 8 / (20 + 16), 2 * 1 / (4 + 2), 2 * 10 / (16 + 16)]
    assert found["accuracy"] == pytest.approx(69 / 100)
    assert found["macro_f1"] == pytest.approx(sum(f1) / 4)
    assert found["weighted_f1"] == pytest.approx((60 * f1[0] + 20 * f1[1] + 4 * f1[2] + 16 * f1[3]) / 100)


def test_measures_equal_those_of_scikit_learn() -> None:
    said = predictions(2, 600)
    decided = said.probabilities[:, 0].argmax(axis=1)
    found = measured(confusion(said.labels, decided, said.weights, 4))
    assert found == pytest.approx(
        {
            "accuracy": accuracy_score(said.labels, decided),
            "macro_f1": f1_score(said.labels, decided, average="macro"),
            "weighted_f1": f1_score(said.labels, decided, average="weighted"),
        }
    )


# -- beside the page ---------------------------------------------------------------------------------------------


def test_a_cascade_answers_as_combine_does_and_asks_dear_members_only_for_what_is_left() -> None:
    costs = (Cost(10, 12, 90), Cost(0.5, 0.6, 20), Cost(0.5, 0.7, 20))
    said, other = attrs.evolve(predictions(0, 3600), costs=costs), predictions(1, 480)
    made = fitted(said, TreesConfig(rounds=40, patience=0, cascade=0.05))
    assert made.learnt is not None and made.learnt.cascade is not None
    assert "text" not in made.learnt.cascade.members
    asked: dict[str, int] = dict.fromkeys(NAMES, 0)

    def ask(names: tuple[str, ...], rows: np.ndarray | None = None) -> MemberPredictions:
        found = other.of(names) if rows is None else other.of(names).take(rows)
        for name in names:
            asked[name] += len(found.labels)
        return found

    answered = made.answer(ask, NAMES)
    whole = made.combine(other)
    np.testing.assert_array_equal(answered.probabilities, whole.probabilities)
    np.testing.assert_array_equal(answered.uncertainty, whole.uncertainty)
    assert 0 < asked["text"] < 0.9 * len(other.labels)


def test_a_cascade_loses_no_more_than_was_stated_where_it_was_learnt() -> None:
    said = predictions(0, 3600)
    table = table_of(said, ESCI, Side())
    made = cascade.learn(
        table,
        TreesConfig(rounds=40, patience=0, cascade=0.01),
        4,
        0,
        [Cost(9, 9, 1), Cost(1, 1, 1), Cost(1, 1, 1)],
    )
    assert made is not None
    assert made.figures["lost"] + made.figures["error"] <= 0.01 + 1e-12
    assert made.figures["error"] > 0
    assert made.figures["ms"] < made.figures["ms_of_all"]


def test_the_error_of_a_loss_is_how_far_it_differs_on_other_queries() -> None:
    losses, errors = [], []
    for seed in range(60):
        said = predictions(seed)
        table = table_of(said, ESCI, Side())
        blocks = said.groups % cascade.BLOCKS
        whole, found = (cascade.counts(said.probabilities[:, place], table, blocks) for place in (0, 1))
        lost, error = cascade.loss(whole, found)
        assert lost == pytest.approx(
            measured(whole.sum(axis=0))["macro_f1"] - measured(found.sum(axis=0))["macro_f1"]
        )
        losses.append(lost)
        errors.append(error)
    assert 0.75 < np.mean(errors) / np.std(losses) < 1.33
    assert cascade.loss(whole[:1], found[:1])[1] == np.inf


def test_equal_rows_of_a_query_become_one_of_their_summed_weight() -> None:
    said = predictions(0, 60).take(np.array([3, 3, 7, 3]))
    found = merged(table_of(said, ESCI, Side()))
    assert sorted(found.weights.tolist()) == [1, 3]


def test_shapley_values_by_class_locale_and_family_add_up_to_the_whole() -> None:
    said = predictions(0)
    table = table_of(said, ESCI, Side())
    locales = np.where(said.groups % 3 == 0, "jp", "us").astype(object)
    found = importance_of(Trees.fit(table, QUICK, 4, 0), table, locales)
    share = float((locales == "jp").mean())
    np.testing.assert_allclose(
        found.by_locale["jp"] * share + found.by_locale["us"] * (1 - share), found.total
    )
    np.testing.assert_allclose(found.by_class.sum(axis=1), found.total)
    families = found.grouped({"text": "language", "words": "language", "graph": "graph"})
    assert families == pytest.approx({"language": found.total[:2].sum(), "graph": found.total[2]})


def test_an_ensemble_that_learnt_from_other_members_says_so() -> None:
    made = fitted(predictions(0, 480))
    with pytest.raises(RunError) as error:
        made.combine(predictions(1, 24).of(["text", "graph"]))
    assert str(error.value) == (
        "the ensemble has learnt from text, words, graph and is asked to combine text, graph. Run the pipeline again."
    )


def test_degree_without_engagements_says_what_to_take_out() -> None:
    with pytest.raises(DataError) as error:
        fitted(predictions(0, 480), attrs.evolve(QUICK, side=("degree",)))
    assert str(error.value) == "ensemble: side columns need the pairs; only predictions are known here"
