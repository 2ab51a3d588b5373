"""What a loss must do."""

from __future__ import annotations

import torch
from torch import Tensor

from prodmatch_core.components.loss import Loss, Output, PointwiseLoss
from prodmatch_core.testing.benches.losses import LABELS, WIDTH, gradients, made_output, of_items, output
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.subject import Subject

ROWS = 8
TOLERANCE = 1e-5
FACTOR = 1000.0
"Factor of a loss in the sum, as a pipeline file may set it: a gradient must not overflow by it."


def check_scalar_is_the_mean_of_examples(subject: Subject) -> None:
    """The loss of a batch is the weighted mean of `per_example`."""
    made = subject.made
    if not isinstance(made, PointwiseLoss):
        raise Skipped("the loss is no PointwiseLoss and has no loss of single examples")
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 0.0, 1.0])
    given = output(subject, weights=weights)
    each = made.per_example(given)
    if each.shape != (ROWS,):
        raise Nonconformance(
            f"per_example of {ROWS} examples has shape {tuple(each.shape)}. Return one loss an example, unweighted."
        )
    _same(
        made(given),
        (each * weights).sum() / weights.sum(),
        "the loss is not the weighted mean of per_example. Leave `forward` to PointwiseLoss, and weights out "
        "of per_example.",
    )


def check_weight_two_is_a_row_twice(subject: Subject) -> None:
    """A row of weight 2 counts like two rows of weight 1."""
    weights = torch.ones(ROWS)
    weights[[2, 4]] = 2
    twice = torch.tensor([0, 1, 2, 2, 3, 4, 4, 5, 6, 7])
    _same(
        subject.made(output(subject, weights=weights)),
        subject.made(output(subject, twice)),
        "a row of weight 2 does not count like the row twice. Weigh every example's part by `output.weights`, "
        "and divide by their sum.",
    )


def check_weight_zero_is_a_row_absent(subject: Subject) -> None:
    """A row of weight 0 counts like no row, as a negative of others too."""
    weights = torch.ones(ROWS)
    weights[[1, 4]] = 0
    _same(
        subject.made(output(subject, weights=weights)),
        subject.made(output(subject, torch.tensor([0, 2, 3, 5, 6, 7]))),
        "a row of weight 0 changes the loss. Weigh every example's part by `output.weights`, and leave rows "
        "of weight 0 out of what others are compared with.",
    )


def check_row_order_does_not_matter(subject: Subject) -> None:
    """The rows of a batch in another order have the same loss."""
    order = torch.tensor([5, 2, 7, 0, 3, 6, 1, 4])
    _same(
        subject.made(output(subject, order)),
        subject.made(output(subject)),
        "the same rows in another order have another loss. Let nothing depend on a row's place in the batch.",
    )


def check_finite_where_nothing_is_wrong(subject: Subject) -> None:
    """Where every prediction is right, and every pair as near or far as could be, loss and gradient are finite."""
    items = of_items(subject)
    labels = torch.tensor(LABELS[items])
    corners = torch.eye(WIDTH)
    if items:
        query = product = corners[labels]
    else:
        # Matches are at one place, all others opposite each other.
        query = corners[torch.arange(ROWS) % WIDTH]
        product = torch.where((labels == 0)[:, None], query, -query)
    logits = torch.where(torch.arange(4) == labels[:, None], 90.0, -90.0)
    given = made_output(items, labels, logits, query.clone(), product.clone(), torch.ones(ROWS))
    _finite(
        subject.made,
        given,
        "where every prediction is right",
        "Look for a square root, norm, logarithm or division at 0, and for a mean over no pair.",
    )


def check_finite_without_a_contribution(subject: Subject) -> None:
    """Where no row has a weight, or none matches, loss and gradient are finite, and there is a gradient."""
    _finite(
        subject.made,
        output(subject, weights=torch.zeros(ROWS)),
        "where every weight is 0",
        "Divide by a sum of weights that is clamped away from 0.",
    )
    alone = torch.tensor([0, 2, 4]) if of_items(subject) else torch.tensor([1, 3, 4, 7])
    _finite(
        subject.made,
        output(subject, alone),
        "where no row matches",
        "Return 0 with a gradient, like `0 * embeddings.sum()`, where no pair contributes.",
    )


def check_float32_scalar_under_autocast(subject: Subject) -> None:
    """Under autocast, of outputs in bfloat16, the loss is a finite float32 scalar."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = subject.made(output(subject, dtype=torch.bfloat16))
    if value.dtype != torch.float32 or value.shape != () or not torch.isfinite(value):
        raise Nonconformance(
            f"under autocast the loss is {value.dtype} of shape {tuple(value.shape)}, value {value.tolist()}. "
            "Take `.float()` of what the output holds, and turn autocast off around products of matrices."
        )


def check_output_is_not_written_to(subject: Subject) -> None:
    """Other losses of the step read the same output: no tensor of it is changed."""
    given = output(subject)
    names = ("labels", "weights", "logits", "embeddings", "references")
    tensors = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    subject.made(given)
    for name, tensor in tensors.items():
        if getattr(given, name) is not tensor or not torch.equal(tensor.detach(), before[name]):
            raise Nonconformance(f"the loss changes the output's {name}. Work on a copy.")


def _same(left: Tensor, right: Tensor, message: str) -> None:
    if not torch.allclose(left, right, rtol=TOLERANCE, atol=TOLERANCE):
        raise Nonconformance(f"{left.item():.6g} and {right.item():.6g}: {message}")


def _finite(made: Loss, given: Output, where: str, remedy: str) -> None:
    value = made(given)
    if not value.requires_grad:
        raise Nonconformance(f"{where}, the loss has no gradient. {remedy}")
    (FACTOR * value).backward()
    made.zero_grad()
    wrong = [name for name, gradient in gradients(given).items() if not torch.isfinite(gradient).all()]
    if not torch.isfinite(value) or wrong:
        what = f"the gradient of {wrong[0]}" if wrong else "the loss"
        raise Nonconformance(f"{where}, {what} is not finite. {remedy}")
