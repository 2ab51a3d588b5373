"""What was known when: an event log as it really went, and rows to learn from, each with the moment it was known."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from prodmatch_core.data.corpus import Examples

NEVER = np.iinfo(np.int64).max
"Moment of what does not happen."
HOUR = 3_600_000_000
"Microseconds, the unit of all moments here."
CONVERTED, NOT_CONVERTED = 0, 1
"Labels of an event: what a conversion is comes first in the label scheme."


@attrs.frozen(eq=False)
class EventLog:
    """Events in order of time with all that became of them, and the steps in which they are gone through.

    Attributes:
        product: (n,) int64 rows of the corpus' products; event i is row i of its queries.
        shown: (n,) int64 microseconds since 1970, ascending.
        converted: (n,) int64, NEVER where there is no conversion within the window.
        engaged: (n,) int64 first sign before a conversion, NEVER where there is none.
        window: microseconds in which a conversion counts; 0: whenever it comes.
        begins: (steps + 1,) int64 first moment of every step and the end of the last; training ends before
            `begins[0]`. One moment alone: nothing is learnt after training.
    """

    product: np.ndarray
    shown: np.ndarray
    converted: np.ndarray
    engaged: np.ndarray
    window: int
    begins: np.ndarray

    def __len__(self) -> int:
        return len(self.shown)


@attrs.frozen(eq=False)
class Stream:
    """Rows to learn from, in the order in which they were known. All arrays have length m.

    Attributes:
        event: (m,) int64 rows of the log.
        label: (m,) int64 CONVERTED or NOT_CONVERTED, as known at `at`.
        at: (m,) int64 microseconds since 1970, ascending.
        facts: (m,) arrays by name for the loss that made the stream.
        oracle: whether it knows labels before anybody could; a line to compare with, nothing to be used.
    """

    event: np.ndarray
    label: np.ndarray
    at: np.ndarray
    facts: Mapping[str, np.ndarray] = attrs.field(factory=dict)
    oracle: bool = False

    def check(self, log: EventLog) -> None:
        """Refuse rows that know more than could be known.

        Raises:
            ValueError: a row comes before its event or before the conversion it tells of, tells of none after there
                was one, or rows are out of order; the message names the first.
        """
        converted, shown = log.converted[self.event], log.shown[self.event]
        told = self.label == CONVERTED
        wrong = (np.diff(self.at, prepend=self.at[:1]) < 0) | (self.at < shown)
        wrong |= np.where(told, converted > self.at, converted <= self.at) & (not self.oracle)
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"stream row {row}: event {self.event[row]} with label {self.label[row]} at {self.at[row]}; it was "
                f"shown at {shown[row]} and converted at {converted[row]}. A label may be told once it is known, in "
                "order of time."
            )

    def examples(self, log: EventLog) -> Examples:
        """Return the rows as examples of the log's corpus, each of weight 1."""
        product = log.product[self.event]
        return Examples(self.event, product, self.label, np.ones(len(self.event)), self.facts)
