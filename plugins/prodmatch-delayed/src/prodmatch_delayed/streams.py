"""What each method learns from: rows with the moment their label was known, worked out for whole arrays at once.

With e the waiting window and T the window of attribution, a row is

- fresh: the event's first label, known at e after it (at the event itself for methods that do not wait);
- late: a conversion after that, told again as a positive when it comes;
- settled: the event once more with its final label, at T;
- engaged: a signal that comes after the first label, told when it comes, to weight models alone.

ES-DFM: arXiv 2012.03245, section 4.1. FNW: arXiv 1907.06558, section 3. DEFER: arXiv 2104.14121, section 4.1.

FSIW (arXiv 2002.02068) and DFM (Chapelle, KDD 2014) were written for training anew on everything known by then. Gone
through in time they are approximations, in these points:

- Training is told as one picture, taken when it ends: labels as known then, each with the hours its event was watched,
  at most T. An event whose first label was not due by then, and every later one, is told once, after e. Its late
  conversion never reaches the served model. (The streams of ES-DFM's authors tell it once too, at the end of its hour.)
- FSIW's weight models learn from training as it was at an earlier moment, a different one for each event, where the
  paper takes one moment for all. What came after that moment is told up to the end of training, and in the hours after
  it. The picture itself is read by them too, and what comes after it is not told again: for events watched for less
  than T they expect somewhat too few late conversions.
- DFM's p is the chance to convert at any time, under an exponential delay. It is served as it is, though conversions
  after T do not count, so it states too much where many come after T.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from prodmatch_core.data.streams import CONVERTED, HOUR, NEVER, NOT_CONVERTED, EventLog, Stream
from prodmatch_core.errors import DataError
from prodmatch_delayed.configs import AT_ONCE

FRESH, LATE, SETTLED, ENGAGED = 0, 1, 2, 3
"Kinds of rows."
ABSENT = -1.0
"Hours to a signal that was not there when the row was known."
_GOLDEN = 0.6180339887498949


@attrs.frozen(eq=False)
class Rows:
    """Rows of a stream in any order; all arrays have length m.

    Attributes:
        event: int64 rows of the log.
        label: int64 CONVERTED or NOT_CONVERTED.
        at: int64 moment it was known.
        kind: int64 FRESH, LATE, SETTLED or ENGAGED.
        elapsed: float32 hours the event had been watched when it was first labelled.
        delay: float32 hours to the conversion, where the row tells of one.
        signal: float32 hours from the event to its first signal, as known at the first label; ABSENT where none was.
            Where signals are told as they come, as known at the row's own moment.
        trains: float32, 1 where the row trains the served model, 0 where it trains weight models alone.
    """

    event: np.ndarray
    label: np.ndarray
    at: np.ndarray
    kind: np.ndarray
    elapsed: np.ndarray
    delay: np.ndarray
    signal: np.ndarray
    trains: np.ndarray

    def __len__(self) -> int:
        return len(self.event)

    def take(self, rows: np.ndarray | slice) -> Rows:
        """Return the rows at `rows`."""
        return Rows(*(getattr(self, field.name)[rows] for field in attrs.fields(Rows)))

    @staticmethod
    def joined(parts: Sequence[Rows]) -> Rows:
        """Return the rows of all parts, one after the other."""
        return Rows(
            *(np.concatenate([getattr(p, field.name) for p in parts]) for field in attrs.fields(Rows))
        )

    def in_order(self) -> Rows:
        """Return the rows in order of time; those of one moment by event and kind."""
        return self.take(np.lexsort((self.kind, self.event, self.at)))


@attrs.frozen(eq=False)
class Part:
    """Events of a log, or of a piece of one: moments in microseconds, NEVER for what does not happen.

    Attributes:
        event: (n,) int64 number of each in the log.
        shown, converted, engaged: (n,) int64.
    """

    event: np.ndarray
    shown: np.ndarray
    converted: np.ndarray
    engaged: np.ndarray

    def take(self, rows: np.ndarray) -> Part:
        """Return the events at `rows`."""
        return Part(self.event[rows], self.shown[rows], self.converted[rows], self.engaged[rows])


def stream_of(log: EventLog, method: str, wait: float, form: str = "direct") -> Stream:
    """Return the stream of a method over a whole log.

    Args:
        log: what happened.
        method: one of `configs.METHODS`.
        wait: hours until the first label.
        form: of `signals`, one of `configs.FORMS`.

    Raises:
        DataError: the method needs a window of attribution and the log has none.
    """
    part = Part(np.arange(len(log)), log.shown, log.converted, log.engaged)
    rows = rows_of(part, method, wait, log.window, int(log.begins[0]), form).in_order()
    names = ("kind", "elapsed", "delay", "signal", "trains")
    facts = {name: getattr(rows, name) for name in names}
    return Stream(rows.event, rows.label, rows.at, facts, oracle=method == "oracle")


def rows_of(part: Part, method: str, wait: float, window: int, trained: int, form: str = "direct") -> Rows:
    """Return a method's rows for some events, in no order.

    Args:
        part: the events.
        method: one of `configs.METHODS`.
        wait: hours until the first label.
        window: microseconds in which a conversion counts; 0: whenever it comes.
        trained: moment at which training ends and the stream begins; methods of one row an event look at all of
            training from there.
        form: of `signals`, one of `configs.FORMS`; `factored` tells signals as they come.

    Raises:
        DataError: the method needs a window of attribution and there is none.
    """
    e = 0 if method in AT_ONCE else round(wait * HOUR)
    if method == "oracle":
        final = np.where(part.converted < NEVER, CONVERTED, NOT_CONVERTED)
        return _rows(part, final, part.shown, FRESH, np.zeros(len(final)))
    if method in ("dfm", "fsiw"):
        return _snapshot(part, method, e, window, trained)
    elapsed = np.full(len(part.shown), e)
    parts = [_first(part, elapsed)]
    if method == "defer":
        if not window:
            raise DataError(
                "delayed.importance: defer tells every event once more when its label is final, and no conversion is "
                "ever too late. Set convert.window, in days."
            )
        settles = np.flatnonzero(part.shown < NEVER - window) if window > e else np.empty(0, dtype=np.int64)
        settled = part.take(settles)
        final = np.where(settled.converted < NEVER, CONVERTED, NOT_CONVERTED)
        parts.append(_rows(settled, final, settled.shown + window, SETTLED, elapsed[settles]))
    elif method == "signals" and form == "factored":
        parts += [_engaged(part, elapsed), _late(part, elapsed, told=True)]
    else:
        parts.append(_late(part, elapsed))
    return Rows.joined(parts)


def _first(part: Part, elapsed: np.ndarray, trains: float = 1.0) -> Rows:
    """Return each event's label after `elapsed` microseconds."""
    at = part.shown + elapsed
    return _rows(part, np.where(part.converted <= at, CONVERTED, NOT_CONVERTED), at, FRESH, elapsed, trains)


def _late(part: Part, elapsed: np.ndarray, trains: float = 1.0, told: bool = False) -> Rows:
    """Return the conversions that come later than `elapsed` microseconds after their event.

    With `told`, each also says what signal there had been by then.
    """
    rows = np.flatnonzero((part.converted > part.shown + elapsed) & (part.converted < NEVER))
    late = part.take(rows)
    known = late.converted - 1 if told else None
    return _rows(late, np.full(len(rows), CONVERTED), late.converted, LATE, elapsed[rows], trains, known)


def _engaged(part: Part, elapsed: np.ndarray) -> Rows:
    """Return the signals that come later than `elapsed` microseconds after their event, and before a conversion."""
    rows = np.flatnonzero((part.engaged > part.shown + elapsed) & (part.engaged < part.converted))
    moved = part.take(rows)
    label = np.full(len(rows), NOT_CONVERTED)
    return _rows(moved, label, moved.engaged, ENGAGED, elapsed[rows], 0.0, moved.engaged)


def _snapshot(part: Part, method: str, e: int, window: int, trained: int) -> Rows:
    """Return one row an event: what the end of training knew of each that had waited by then, then labels at e.

    The weights of FSIW depend on how long an event was watched. They are learnt from training as it was known at an
    earlier moment, another for each event (arXiv 2002.02068, section 4.2), and from what came later.
    """
    followed = trained - 1 - part.shown
    if window:
        followed = np.minimum(followed, window)
    before = followed >= e
    old, new = part.take(np.flatnonzero(before)), part.take(np.flatnonzero(~before))
    watched, waited = followed[before], np.full(len(new.shown), e)
    seen = np.where(old.converted <= old.shown + watched, CONVERTED, NOT_CONVERTED)
    end = np.full(len(old.shown), trained - 1)
    parts = [_rows(old, seen, end, FRESH, watched), _first(new, waited)]
    if method == "fsiw":
        share = (old.event * _GOLDEN) % 1
        earlier = (e + share * (watched - e)).astype(np.int64)
        parts += [_first(old, earlier, 0.0), _late(old, earlier, 0.0), _late(new, waited, 0.0)]
    return Rows.joined(parts)


def _rows(
    part: Part,
    label: np.ndarray,
    at: np.ndarray,
    kind: int,
    elapsed: np.ndarray,
    trains: float = 1.0,
    known: np.ndarray | None = None,
) -> Rows:
    n = len(label)
    delay = np.where(label == CONVERTED, part.converted - part.shown, 0)
    there = part.engaged <= (part.shown + elapsed if known is None else known)
    signal = np.where(there, (part.engaged - part.shown) / HOUR, ABSENT)
    return Rows(
        event=part.event,
        label=np.asarray(label, dtype=np.int64),
        at=np.asarray(at, dtype=np.int64),
        kind=np.full(n, kind),
        elapsed=(elapsed / HOUR).astype(np.float32),
        delay=(delay / HOUR).astype(np.float32),
        signal=signal.astype(np.float32),
        trains=np.full(n, trains, dtype=np.float32),
    )
