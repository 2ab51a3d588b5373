from __future__ import annotations

import itertools
import random
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mutants import configs
from mutants.heavy_configs import Heavy
from mutants.mutant import Mutant, mutant
from prodmatch_core.components.loss import Learnt, Loss, Output, PointwiseLoss
from prodmatch_core.components.loss import weighted_mean as mean
from prodmatch_core.records import LossSpec


def entropy(output: Output) -> Tensor:
    assert output.logits is not None
    return functional.cross_entropy(output.logits.float(), output.labels, reduction="none")


class Healthy(PointwiseLoss):
    """Cross entropy, as it should be."""

    def __init__(self, config: Any = None, scheme: Any = None) -> None:
        super().__init__()

    def per_example(self, output: Output) -> Tensor:
        return entropy(output)


class Plain(Loss):
    """The same, without a loss of single examples."""

    def __init__(self, config: Any = None, scheme: Any = None) -> None:
        super().__init__()

    def forward(self, output: Output) -> Tensor:
        return mean(entropy(output), output.weights)


class NoLoss(nn.Module):
    """mutants.losses:NoLoss is no Loss. Derive it from that class."""

    @classmethod
    def build(cls, config: Any, learnt: Learnt) -> Self:
        return cls()

    def forward(self, output: Output) -> Tensor:
        return mean(entropy(output), output.weights)


class Unfinished(Plain):
    """mutants.losses:Unfinished leaves out what a Loss must have: forward. Write the methods."""

    __abstractmethods__ = frozenset({"forward"})


class Numbered(Plain):
    """the same seed gives answers that differ by #. Take every random number from the generator given."""

    numbers = itertools.count(1)

    def __init__(self, config: Any = None, scheme: Any = None) -> None:
        super().__init__()
        self.factor = 1 + 0.125 * next(self.numbers)

    def forward(self, output: Output) -> Tensor:
        return self.factor * super().forward(output)


class ReadsState(Plain):
    """the part's answer depends on the random state of the process. Take random numbers from the generator given."""

    def forward(self, output: Output) -> Tensor:
        return (1 + float(np.random.get_state()[1][0] % 7)) * super().forward(output)  # noqa: NPY002


class SeedsNumPy(Plain):
    """the part changes the random state of NumPy. Take random numbers from the generator given, and make other
    generators with a seed drawn from it.
    """

    def forward(self, output: Output) -> Tensor:
        np.random.seed(0)  # noqa: NPY002
        return super().forward(output)


class SeedsRandom(Plain):
    """the part changes the random state of random. Take random numbers from the generator given, and make other
    generators with a seed drawn from it.
    """

    def forward(self, output: Output) -> Tensor:
        random.seed(0)
        return super().forward(output)


class SeedsTorch(Plain):
    """the part changes the random state of torch. Take random numbers from the generator given, and make other
    generators with a seed drawn from it.
    """

    def forward(self, output: Output) -> Tensor:
        torch.manual_seed(0)
        return super().forward(output)


class LooksAtTheFirst(Plain):
    """asked about no rows, the part fails with IndexError: index 0 is out of bounds for dimension 0 with size 0. Answer
    with no rows, or raise a DataError that says what is missing.
    """

    def forward(self, output: Output) -> Tensor:
        output.labels[0]
        return super().forward(output)


class SaysLittle(Plain):
    """asked about no rows, the part says "empty". Say what was expected, and what to do."""

    def forward(self, output: Output) -> Tensor:
        if not len(output.labels):
            raise ValueError("empty")
        return super().forward(output)


class Doubled(Healthy):
    """# and #: the loss is not the weighted mean of per_example. Leave `forward` to PointwiseLoss, and weights out of
    per_example.
    """

    def forward(self, output: Output) -> Tensor:
        return 2 * super().forward(output)


class Summed(Healthy):
    """per_example of 8 examples has shape (). Return one loss an example, unweighted."""

    def per_example(self, output: Output) -> Tensor:
        return mean(entropy(output), output.weights)

    def forward(self, output: Output) -> Tensor:
        return self.per_example(output)


class CountsRows(Loss):
    """# and #: a row of weight 2 does not count like the row twice. Weigh every example's part by `output.weights`, and
    divide by their sum.
    """

    def __init__(self, config: Any = None, scheme: Any = None) -> None:
        super().__init__()

    def forward(self, output: Output) -> Tensor:
        return mean(entropy(output), (output.weights > 0).float())


class ComparesWithAll(Plain):
    """# and #: a row of weight 0 changes the loss. Weigh every example's part by `output.weights`, and leave rows of
    weight 0 out of what others are compared with.
    """

    def forward(self, output: Output) -> Tensor:
        assert output.logits is not None
        logits = output.logits.float()
        spread = (logits.amax(dim=0) - logits.amin(dim=0)).sum() if len(logits) else 0.0
        return super().forward(output) + 0.1 * spread


class LastRow(Plain):
    """# and #: the same rows in another order have another loss. Let nothing depend on a row's place in the batch."""

    def forward(self, output: Output) -> Tensor:
        assert output.logits is not None
        return super().forward(output) + 0.1 * output.logits.float()[-1:].pow(3).sum()


class Rooted(Loss):
    """where every prediction is right, the gradient of logits is not finite. Look for a square root, norm, logarithm or
    division at 0, and for a mean over no pair.
    """

    def __init__(self, config: Any = None, scheme: Any = None) -> None:
        super().__init__()

    def forward(self, output: Output) -> Tensor:
        return mean((1 - (-entropy(output)).exp()).sqrt(), output.weights)


class OverMatches(Loss):
    """where no row matches, the gradient of logits is not finite. Return 0 with a gradient, like `0 *
    embeddings.sum()`, where no pair contributes.
    """

    def __init__(self, config: Any = None, scheme: Any = None) -> None:
        super().__init__()

    def forward(self, output: Output) -> Tensor:
        matching = output.weights * (output.labels == 0)
        if not output.weights.any():
            return mean(entropy(output), output.weights)
        return (entropy(output) * matching).sum() / matching.sum()


class Overflows(Loss):
    """where every weight is 0, the gradient of logits is not finite. Divide by a sum of weights that is clamped away
    from 0.
    """

    def __init__(self, config: Any = None, scheme: Any = None) -> None:
        super().__init__()

    def forward(self, output: Output) -> Tensor:
        least = torch.finfo(torch.float32).tiny
        return (entropy(output) * output.weights).sum() / output.weights.sum().clamp_min(least)


class Detached(Plain):
    """where every weight is 0, the loss has no gradient. Divide by a sum of weights that is clamped away from 0."""

    def forward(self, output: Output) -> Tensor:
        if len(output.weights) and not output.weights.any():
            return torch.zeros(())
        return super().forward(output)


class Narrow(Plain):
    """under autocast the loss is torch.bfloat16 of shape (), value #. Take `.float()` of what the output holds, and turn
    autocast off around products of matrices.
    """

    def forward(self, output: Output) -> Tensor:
        assert output.logits is not None
        return super().forward(output).to(output.logits.dtype)


class Writes(Plain):
    """the loss changes the output's weights. Work on a copy."""

    def forward(self, output: Output) -> Tensor:
        output.weights.mul_(2)
        return super().forward(output)


class Excused(Plain):
    """exempt names "no_such_law", which is no check of a loss. Correct or remove it."""


class Curt(LastRow):
    """exempt gives no reason for row_order_does_not_matter. Say in a sentence why the part breaks it."""


def loss(check: str, factory: Any, told: Any = None, **fields: Any) -> Mutant:
    return mutant(check, LossSpec, factory, told, needs={"logits"}, **fields)


HEALTHY = [loss("healthy", Healthy), loss("plain", Plain)]
MUTANTS = [
    loss("factory_keeps_its_contract", NoLoss),
    loss("fields_are_documented", Healthy, configs.Silent, config=configs.Silent),
    loss("fields_are_not_the_sections", Healthy, configs.Swallowed, config=configs.Swallowed),
    loss("config_round_trips", Healthy, configs.Growing, config=configs.Growing),
    loss("unknown_key_is_refused", Healthy, configs.Greedy, config=configs.Greedy),
    loss("exemptions_are_of_checks", Excused, exempt={"no_such_law": "for reasons that are good"}),
    loss("exemptions_are_of_checks", Curt, exempt={"row_order_does_not_matter": "because"}),
    loss("module_of_record_is_light", Healthy, Heavy, config=Heavy),
    loss("same_seed_same_answer", Numbered),
    loss("global_random_state_is_left_alone", ReadsState),
    loss("global_random_state_is_left_alone", SeedsNumPy),
    loss("global_random_state_is_left_alone", SeedsRandom),
    loss("global_random_state_is_left_alone", SeedsTorch),
    loss("nothing_is_answered_or_refused_in_words", LooksAtTheFirst),
    loss("nothing_is_answered_or_refused_in_words", SaysLittle),
    loss("scalar_is_the_mean_of_examples", Doubled),
    loss("scalar_is_the_mean_of_examples", Summed),
    loss("weight_two_is_a_row_twice", CountsRows),
    loss("weight_zero_is_a_row_absent", ComparesWithAll),
    loss("row_order_does_not_matter", LastRow),
    loss("finite_where_nothing_is_wrong", Rooted),
    loss("finite_without_a_contribution", OverMatches),
    loss("finite_without_a_contribution", Overflows),
    loss("finite_without_a_contribution", Detached),
    loss("float32_scalar_under_autocast", Narrow),
    loss("output_is_not_written_to", Writes),
]
