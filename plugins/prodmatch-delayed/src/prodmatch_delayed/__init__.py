"""Delayed feedback: what was known when, and importance weights for labels that will change."""
