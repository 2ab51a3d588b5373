"""A configuration class in a module that imports what listing parts must not."""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.fields import positive


@attrs.frozen
class Heavy:
    """mutants.heavy_configs, which holds the configuration class, imports numpy. Keep configuration classes in a module
    that imports nothing heavy.
    """

    power: float = attrs.field(default=float(np.e), validator=positive)
    "Exponent."
