"""`prodmatch digits -o PICTURE`: the toy, trained in seconds from data that scikit-learn brings."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "-o",
    "--out",
    metavar="PICTURE",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="SVG to write.",
)
@click.option(
    "--seed", metavar="N", type=click.IntRange(min=0), default=0, show_default=True, help="Of all chance."
)
@click.option(
    "--epochs",
    metavar="N",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="Passes over the images.",
)
def digits(out: Path, seed: int, epochs: int) -> None:
    """Draw the toy: handwritten digits on a circle, with and without the term.

    A small network learns to place 1,797 images of digits on a circle by ArcFace, once alone and once with the margin
    term. The picture shows where the images that were held back lie, by digit; the figures are of them.
    """
    from prodmatch_core.cli.tables import print_table
    from prodmatch_core.writing import write_text
    from prodmatch_tcm.drawing import circles
    from prodmatch_tcm.toy import figures, train

    arms = [(name, train(seed, epochs, term)) for name, term in (("ArcFace", False), ("ArcFace + TCM", True))]
    write_text(out, circles([(name, toy.vectors, toy.labels) for name, toy in arms], "digits") + "\n")
    rows = [[name, *(f"{value:.4f}" for value in figures(toy))] for name, toy in arms]
    print_table(("loss", "R@1", "OPIS", "mean utility"), rows, right=(1, 2, 3))
    click.echo(f"\n{out}: written")
