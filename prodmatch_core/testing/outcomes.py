"""What becomes of a check that does not pass."""

from __future__ import annotations

import unittest


class Nonconformance(AssertionError):
    """A part breaks a law of its kind. The message says which, and how to mend it."""


class Skipped(unittest.SkipTest):
    """A check has nothing to say of a part; the message says why. pytest reports it as a skipped test."""
