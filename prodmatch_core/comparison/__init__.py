"""Runs beside runs: arms, pairs of the same seed and test set, and which differences are real."""
