"""Fine-tuning a copy of a member on each locale's examples.

A copy shares every tensor that its training left alone with the shared model, in memory and on disk: a phase that
freezes the encoder costs the size of a head a locale.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import attrs
import numpy as np

from prodmatch_core.components.encoder import FitData
from prodmatch_core.errors import RunError
from prodmatch_core.sections import Phase
from prodmatch_core.training import loop
from prodmatch_core.training.copies import changed, copy_of, locales_of
from prodmatch_core.training.model import MemberModel


def within(data: FitData, locale: str) -> FitData:
    """Return the data with the training and validation examples of one locale alone."""
    train, valid = (part.take(locales_of(data.corpus, part) == locale) for part in (data.train, data.valid))
    return attrs.evolve(data, train=train, valid=valid)


def fit_regions(
    shared: loop.Fitting,
    phases: tuple[Phase, ...],
    validation_of: Callable[[FitData], Callable[[MemberModel], Mapping[str, float]]],
    done: int,
    trained: bool,
) -> dict[str, MemberModel]:
    """Return a copy of `shared.model` for each locale that has training and validation examples.

    Args:
        shared: how the model was fitted on all locales; the model is left as it is.
        phases: what each copy goes through.
        validation_of: data -> what judges a model on its validation examples.
        done: epochs that were spent so far; the copies' are numbered after them.
        trained: whether the shared model has been. Then a locale no epoch was better for than the shared model has no
            copy; it is served by the shared one.

    Raises:
        RunError: there is neither a copy nor a trained model.
    """
    start = copy.deepcopy(shared.model.state_dict())
    copies: dict[str, MemberModel] = {}
    for locale in np.unique(locales_of(shared.data.corpus, shared.data.train)):
        data = within(shared.data, locale)
        if not len(data.valid):
            continue
        before = done

        def heard(figures: Mapping[str, object], locale: str = locale, before: int = before) -> None:
            number = figures["epoch"]
            assert isinstance(number, int)
            shared.on_epoch({**figures, "epoch": before + number, "locale": locale})

        shared.model.load_state_dict(start)
        fitted = loop.fit(
            attrs.evolve(
                shared,
                data=data,
                settings=attrs.evolve(shared.settings, phase=phases, locale_share=1.0),
                validate=validation_of(data),
                name=f"{shared.name}/{locale}",
                start_counts=trained,
                on_epoch=heard,
                checkpoint=shared.checkpoint.of(locale) if shared.checkpoint else None,
            )
        )
        done += fitted.epochs
        tensors = copy.deepcopy(changed(shared.model, start))
        if tensors or not trained:
            shared.model.load_state_dict(start)
            copies[locale] = copy_of(shared.model, tensors)
    shared.model.load_state_dict(start)
    if not copies and not trained:
        raise RunError(
            f"member {shared.name}: no locale has both training and validation examples, and no phase trains a model "
            "for all. Put a phase without per_locale first, or give [data.split] larger shares."
        )
    return copies
