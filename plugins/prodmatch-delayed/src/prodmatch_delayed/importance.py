"""`delayed.importance`: log loss on a stream of labels that will change, with its weight models trained beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.components.loss import LEAST_WEIGHT, Learnt, Loss, Output
from prodmatch_core.data.streams import EventLog, Stream
from prodmatch_delayed.configs import ImportanceConfig
from prodmatch_delayed.notes import Notes
from prodmatch_delayed.streams import ENGAGED, FRESH, LATE, SETTLED, stream_of
from prodmatch_delayed.weights import Seen, Terms, genuine_of, row_losses, told_twice

RATE = "log_rate"
READS: Mapping[str, tuple[str, ...]] = {
    "fsiw": ("genuine", "in_time"),
    "es_dfm": ("late", "genuine"),
    "defer": ("late",),
    "defuse": ("late", "genuine"),
    "dfm": (RATE,),
    "exact": ("genuine",),
}
"Weight models of each method; the others have none."
SIGNALS: Mapping[str, tuple[str, ...]] = {
    "direct": ("genuine",),
    "factored": ("engages", "redeems"),
    "settled": ("redeems",),
}
"Weight models of each form of `signals`."
RATES = (-12.0, 8.0)
"Bounds of the logarithm of DFM's conversions an hour."


class ImportanceLoss(Loss):
    """The loss of the served model and of its weight models, on the stream the method asks for.

    Rows without facts are of no stream: their labels are taken as they are.
    """

    def __init__(self, config: ImportanceConfig, width: int) -> None:
        """Make the weight models over member vectors of size `width`."""
        super().__init__()
        self.config = config
        self.notes = Notes(config.clip)
        self.reads = SIGNALS[config.form] if config.method == "signals" else READS.get(config.method, ())
        extra = {"signals": 3, "fsiw": 1}.get(config.method, 0)
        self.models = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(width + extra, config.hidden), nn.GELU(), nn.Linear(config.hidden, 1)
                )
                for name in self.reads
            }
        )

    @classmethod
    def build(cls, config: ImportanceConfig, learnt: Learnt) -> Self:
        """Make the loss for a member's vectors."""
        return cls(config, learnt.width)

    def stream(self, log: EventLog) -> Stream:
        """Return the method's stream.

        Raises:
            DataError: the method needs a window of attribution and the log has none.
        """
        return stream_of(log, self.config.method, self.config.wait, self.config.form)

    def figures(self) -> Mapping[str, Any]:
        """Return what was noted of weights and arrivals since last asked (`notes.Notes`)."""
        return {"method": self.config.method, **figures} if (figures := self.notes.take()) else {}

    def forward(self, output: Output) -> Tensor:
        """Return the mean loss of rows that train the served model, and of those that train each weight model."""
        assert output.logits is not None
        with torch.autocast(output.logits.device.type, enabled=False):
            logits = output.logits.float()
            logit = logits[:, 0] - logits[:, 1:].logsumexp(dim=1)
            positive, weights = output.labels == 0, output.weights.float()
            if not output.facts:
                plain, _ = row_losses("vanilla", Seen(logit, positive, torch.zeros_like(output.labels)))
                return _mean(plain, weights)
            facts, said = output.facts, self._said(output)
            chances = {name: values.detach().sigmoid() for name, values in said.items() if name != RATE}
            if "redeems" in chances:
                redeems, engages = chances.pop("redeems"), chances.pop("engages", None)
                chances["genuine"] = genuine_of(_there(facts), engages, redeems)
            seen = Seen(
                logit,
                positive,
                facts["kind"],
                **chances,
                log_rate=said.get(RATE),
                elapsed=facts["elapsed"],
                delay=facts["delay"],
            )
            each, terms = row_losses(self.config.method, seen, self.config.clip)
            trains = weights * facts["trains"]
            total = _mean(each, trains)
            for name, values in said.items():
                if name != RATE:
                    total = total + self.config.factor * self._learnt(name, values, positive, facts, weights)
            self._note(seen, terms, trains)
            return total

    def _said(self, output: Output) -> dict[str, Tensor]:
        """Return what each weight model says of the rows, (n,) float32: log-odds, or the logarithm of a rate."""
        if not self.reads:
            return {}
        if output.vectors is None:
            raise ValueError(
                f"delayed.importance: {self.config.method} needs an encoder that gives vectors, pairs or embeddings"
            )
        vectors = output.vectors.float()
        # DFM's rate is part of its likelihood, not a weight.
        if not self.config.joint and self.config.method != "dfm":
            vectors = vectors.detach()
        facts = output.facts
        if self.config.method == "signals":
            there = _there(facts).float()
            since = torch.log1p((facts["elapsed"] - facts["signal"]).clamp_min(0) * there)
            until = torch.log1p(facts["signal"].clamp_min(0)) * there
            vectors = torch.cat([vectors, torch.stack([there, since, until], dim=1)], dim=1)
        elif self.config.method == "fsiw":
            vectors = torch.cat([vectors, torch.log1p(facts["elapsed"])[:, None]], dim=1)
        said = {name: model(vectors).squeeze(1) for name, model in self.models.items()}
        if RATE in said:
            said[RATE] = said[RATE].clamp(*RATES)
        return said

    def _learnt(
        self, name: str, values: Tensor, positive: Tensor, facts: Mapping[str, Tensor], weights: Tensor
    ) -> Tensor:
        """Return the mean loss of one weight model.

        A late conversion is told as 0 first and as 1 when it comes, so what is hidden among the first labels is
        learnt from labels known by then; nothing has to settle (`weights.told_twice`).
        """
        kind = facts["kind"]
        late = kind == LATE
        if name == "late" and self.config.method == "defer":
            told = positive & (facts["delay"] > facts["elapsed"])
            return _mean(
                functional.binary_cross_entropy_with_logits(values, told.float(), reduction="none"),
                weights * (kind == SETTLED),
            )
        if name == "late":
            return _mean(torch.where(late, *told_twice(values)), weights)
        if name == "genuine":
            # Of rows first labelled 0, those that stay 0: the odds of a late conversion are 1 - genuine.
            return _mean(torch.where(late, *told_twice(-values)), weights * (~positive | late))
        if name in ("engages", "redeems"):
            return self._by_signal(name, values, positive, facts, weights)
        told_now = (kind == FRESH).float()
        each = functional.binary_cross_entropy_with_logits(values, told_now, reduction="none")
        return _mean(each, weights * positive)

    def _by_signal(
        self, name: str, values: Tensor, positive: Tensor, facts: Mapping[str, Tensor], weights: Tensor
    ) -> Tensor:
        """Return the mean loss of one of the two models that reach a conversion by way of a signal.

        Cases of `engages` are first labels 0 without a signal, told again when one comes, at the latest with the
        conversion. Cases of `redeems` are signals before the conversion, told again when it comes.
        """
        late, came, there = facts["kind"] == LATE, facts["kind"] == ENGAGED, _there(facts)
        first = (facts["kind"] == FRESH) & ~positive
        again, case = told_twice(values)
        if name == "engages":
            alone = late & (facts["signal"] < 0)
            return _mean(torch.where(came | alone, again, case), weights * (came | alone | (first & ~there)))
        if self.config.form == "settled":
            return _mean(torch.where(late, again, case), weights * (there & (first | late)))
        # A conversion without an earlier sign is a case and its conversion at once.
        alone = late & (facts["signal"] < 0)
        each = torch.where(late, again, case) + torch.where(alone, case, torch.zeros_like(case))
        return _mean(each, weights * (late | came | (first & there)))

    @torch.no_grad()
    def _note(self, seen: Seen, terms: Terms, trains: Tensor) -> None:
        hidden = None if seen.genuine is None else 1 - seen.genuine
        assert seen.delay is not None
        weight = terms.towards + terms.against
        self.notes.add(seen.kind, seen.positive, seen.delay, weight, trains, hidden)


def _there(facts: Mapping[str, Tensor]) -> Tensor:
    """Return whether a signal was there by the first label, (n,) bool."""
    signal = facts["signal"]
    return (signal >= 0) & (signal <= facts["elapsed"]) & (facts["kind"] != ENGAGED)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(LEAST_WEIGHT)
