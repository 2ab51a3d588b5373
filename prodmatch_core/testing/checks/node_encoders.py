"""What an encoder of nodes must do, which other parts nest."""

from __future__ import annotations

import numpy as np
import torch

from prodmatch_core.components.node_encoder import NodeEncoder
from prodmatch_core.graph.messages import all_neighbours
from prodmatch_core.testing.answers import difference, near
from prodmatch_core.testing.benches import nodes
from prodmatch_core.testing.benches.encoders import unchanged_mode
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.saved import saved_and_loaded
from prodmatch_core.testing.subject import Subject
from prodmatch_core.training import seeds


def check_one_vector_a_node(subject: Subject) -> None:
    """Every node that is asked for gets a finite vector of size `width`; one without neighbours too."""
    made: NodeEncoder = subject.made
    found = nodes.ask(made, nodes.WANTED)["vectors"]
    expected = (len(nodes.WANTED), made.width)
    if found.shape != expected or not np.isfinite(found).all():
        raise Nonconformance(
            f"{expected[0]} nodes and width {expected[1]} make vectors of shape {found.shape}, "
            f"{int((~np.isfinite(found)).sum())} numbers of them not finite. Return one finite vector of size `width` "
            "a node; a node without neighbours has its own vector."
        )


def check_node_independence(subject: Subject) -> None:
    """A node's vector does not depend on which other nodes are asked for beside it, nor on their order."""
    made: NodeEncoder = subject.made
    together = nodes.ask(made, nodes.WANTED)["vectors"]
    for place, node in enumerate(nodes.WANTED):
        alone = nodes.ask(made, np.array([node]))
        if not near(alone, {"vectors": together[[place]]}):
            raise Nonconformance(
                f"a node's vector differs by {difference(alone, {'vectors': together[[place]]}):.3g} with others asked "
                "for beside it. Take no statistic over a block's nodes."
            )


def check_whole_graph_is_the_same(subject: Subject) -> None:
    """Layer by layer over the whole graph, nodes get the vectors they have through blocks of all neighbours."""
    made: NodeEncoder = subject.made
    try:
        check_node_independence(subject)
    except Nonconformance:
        raise Skipped("cannot be told from node_independence, which the part breaks") from None
    whole = {"vectors": nodes.ask_whole(made)["vectors"][nodes.WANTED]}
    blocks = nodes.ask(made, nodes.WANTED)
    if not near(whole, blocks):
        raise Nonconformance(
            f"over the whole graph vectors differ by {difference(whole, blocks):.3g} from those through blocks. Do "
            "everything in `layer`, from nothing but the layer's number, its messages and its vectors."
        )


def check_reads_as_far_as_its_layers(subject: Subject) -> None:
    """Other first vectors of nodes within `layers` steps change a node's vector; of nodes further away they do not."""
    made: NodeEncoder = subject.made
    node = np.array([4])
    within = all_neighbours(nodes.graph(), node, made.layers)[0].inputs
    plain = nodes.ask(made, node)
    moved = nodes.first(1)
    near_by, far = nodes.first(), moved.clone()
    near_by[within[1:]] = moved[within[1:]]
    far[within] = nodes.first()[within]
    if not difference(plain, nodes.ask(made, node, near_by)):
        raise Nonconformance(
            "a node's vector does not depend on its neighbours. Read `vectors[messages.source]` in every layer."
        )
    if apart := difference(plain, nodes.ask(made, node, far)):
        raise Nonconformance(
            f"nodes outside the blocks change a node's vector by {apart:.3g}. Read the vectors given, and no others."
        )


def check_finite_gradients(subject: Subject) -> None:
    """In training, a loss over the vectors has finite gradients, and reaches at least one weight."""
    made: NodeEncoder = subject.made
    with unchanged_mode(made, training=True), seeds.torch_seed(0, "kit", "gradients"):
        found = nodes.through_blocks(made, nodes.WANTED, nodes.first())
        (found.float() * torch.linspace(-1, 1, found.shape[1])).pow(2).sum().backward()
        gradients = {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}
        made.zero_grad(set_to_none=True)
    if broken := [name for name, gradient in gradients.items() if not torch.isfinite(gradient).all()]:
        raise Nonconformance(
            f"the gradient of {broken[0]} is not finite. Look for a square root, norm, logarithm or division at 0."
        )
    if not any(gradient.abs().sum() > 0 for gradient in gradients.values()):
        raise Nonconformance("no weight has a gradient. Do not detach the vectors from what made them.")


def check_saved_and_loaded_is_the_same(subject: Subject) -> None:
    """Saved and loaded, the part answers the same; no saved file could run code when it is read."""
    saved_and_loaded(subject)
