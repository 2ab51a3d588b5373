"""Class probabilities: aggregate the members, calibrate, measure, and write predictions, decisions and rankings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.answers.work import Answer, Arrays, Work
from prodmatch_core.components.aggregator import Combined, Pairs
from prodmatch_core.components.calibrator import Decisions, match_score
from prodmatch_core.evaluation import assess, trec
from prodmatch_core.predictions import MemberTable, frame_of
from prodmatch_core.training import seeds
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.writing import saving, write_json, write_parquet


class ClassAnswer(Answer):
    """The answer of match and convert."""

    def __init__(self, work: Work) -> None:
        """Number the groups of every split."""
        super().__init__(work)
        spec, data = work.task.spec, work.data
        self.groups = {split: data.groups(split, spec.group) for split in data.examples}
        "Number of each example's group, by split."

    @property
    def folds(self) -> np.ndarray | None:
        """Return the fold of every training row, by group, or None where no part learns from the members."""
        section = self.work.pipeline.aggregator
        if section is None or "out_of_fold" not in section.part.needs:
            return None
        group = self.groups["train"]
        fold_of_group = seeds.rng(self.work.seed, "folds").permutation(int(group.max()) + 1)
        return (fold_of_group % section.part.config.folds)[group]

    def predictions(self, model: FittedMember) -> dict[str, np.ndarray]:
        """Return class probabilities on valid and test, (n, classes) float64, and what the member says of its doubt."""
        data = self.work.data
        if model.ahead:
            return dict(model.ahead)
        found: dict[str, np.ndarray] = {}
        for split in ("valid", "test"):
            found[split], unsure = model.predict_with_uncertainty(data.corpus, data.examples[split])
            if not np.isnan(unsure).all():
                found[f"{split}.uncertainty"] = unsure
        return found

    def held_out(self, model: FittedMember, rows: np.ndarray) -> np.ndarray:
        """Return class probabilities of training rows, (n, classes) float64."""
        data = self.work.data
        return model.predict(data.corpus, data.examples["train"].take(rows))

    def conclude(self, members: Sequence[Arrays]) -> dict[str, Any]:
        """Aggregate, calibrate and measure; write predictions, decisions, mistakes and, of pairs, TREC files."""
        names = tuple(member.name for member in self.work.pipeline.member)
        table = MemberTable(names, members)
        decisions = self._calibrate(self._aggregate(table))
        return self._evaluate(table, decisions["test"])

    def _aggregate(self, table: MemberTable) -> dict[str, Decisions]:
        work, section = self.work, self.work.pipeline.aggregator
        scheme = work.data.scheme
        if section is None:
            return {
                split: self._decisions(split, Combined(table.of(0, split), table.uncertainty_of(0, split)))
                for split in table.splits
            }
        aggregator = section.part.spec.load().build(section.part.config, scheme)
        if "train" in table.splits:
            fit_data = work.fit_data()
            pairs = Pairs(fit_data.corpus, fit_data.train, fit_data.dataset)
            members = table.members("train", pairs, self.groups["train"], work.costs)
            aggregator.fit(members, seeds.rng(work.seed, "aggregator"))
        folder = work.path / "aggregator"
        with saving(folder):
            folder.mkdir(exist_ok=True)
            aggregator.save(folder)
        combined = {}
        for split in table.splits:
            pairs = Pairs(work.data.corpus, work.data.examples[split])
            read = table.members(split, pairs, self.groups[split]).of(aggregator.reads(table.names))
            result = aggregator.combine(read)
            combined[split] = self._decisions(split, result)
        return combined

    def _decisions(self, split: str, found: Combined) -> Decisions:
        decided = Decisions.plain(found.probabilities, found.uncertainty, self.work.data.scheme)
        return attrs.evolve(decided, groups=self.groups[split])

    def _calibrate(self, combined: dict[str, Decisions]) -> dict[str, Decisions]:
        work = self.work
        write_parquet(work.path / "predictions.parquet", self._frame(combined, decided=False))
        valid = work.data.examples["valid"]
        for number, section in enumerate(work.pipeline.calibrator):
            calibrator = section.part.spec.load().build(section.part.config, work.data.scheme)
            calibrator.fit(combined["valid"], valid.label, valid.weight.astype(np.float64))
            folder = work.path / "calibrator" / str(number)
            with saving(folder):
                folder.mkdir(parents=True, exist_ok=True)
                calibrator.save(folder)
            combined = {split: calibrator.apply(decisions) for split, decisions in combined.items()}
        write_parquet(work.path / "decisions.parquet", self._frame(combined, decided=True))
        return combined

    def _frame(self, table: dict[str, Decisions], decided: bool) -> pl.DataFrame:
        spec, data = self.work.task.spec, self.work.data
        frames = []
        for split, decisions in table.items():
            rows = data.rows[split]
            wanted = dict.fromkeys([*spec.keys, spec.group, "locale", "frequency", "split", "label"])
            weight = pl.Series("weight", data.examples[split].weight)
            rows = rows.select(*(name for name in wanted if name in rows.columns), weight)
            frames.append(frame_of(rows, decisions, data.scheme, decided))
        return pl.concat(frames)

    def _evaluate(self, table: MemberTable, final: Decisions) -> dict[str, Any]:
        work, data = self.work, self.work.data
        test, rows = data.examples["test"], data.rows["test"]
        lines = [assess.Line("majority class", "baseline", None, None)]
        lines += [assess.Line(name, "baseline", found, None) for name, found in self._baselines()]
        lines += [
            assess.Line(name, "member", table.of(number, "test"), None)
            for number, name in enumerate(table.names)
        ]
        lines.append(assess.Line("pipeline", "pipeline", final.probabilities, final.labels))
        figures = assess.assess(
            lines,
            examples=test,
            groups=self.groups["test"],
            train_labels=data.examples["train"].label,
            rows=rows,
            scheme=data.scheme,
            measures=work.measures,
            headline=work.task.spec.headline,
            evaluation=work.pipeline.evaluation,
            seed=work.seed,
        )
        pairs = {"query_id", "product_id"} <= set(rows.columns)
        found = (
            assess.mistakes(rows, final, data.scheme, work.dataset, work.pipeline.evaluation.mistakes)
            if pairs
            else []
        )
        write_json(work.path / "mistakes.json", found)
        if pairs:
            # TREC files are separated by white space; an id of the user's may hold some.
            queries, products = (
                rows[name].str.replace_all(r"\s+", "_").to_list() for name in ("query_id", "product_id")
            )
            score = match_score(final.probabilities, data.scheme)
            with saving(work.path / "run.trec"):
                trec.write_run(work.path / "run.trec", queries, products, score, work.pipeline.pipeline.name)
                trec.write_qrels(work.path / "qrels.trec", queries, products, test.label, data.scheme)
        return figures

    def _baselines(self) -> list[tuple[str, np.ndarray]]:
        """Fit the baselines that every report prints; each is a part that fits itself in seconds."""
        work = self.work
        fit_data = work.fit_data()
        results = []
        for name in work.pipeline.baselines:
            spec = work.registry.get("encoder", name)
            config = spec.config()
            fitted = spec.load().fit(config, fit_data, seeds.rng(work.seed, "baseline", name))
            label = "word overlap" if name == "core.overlap" else name
            results.append((label, fitted.predict(work.data.corpus, work.data.examples["test"])))
        return results
