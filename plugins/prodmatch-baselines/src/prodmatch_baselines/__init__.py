"""Baselines of product search as prodmatch parts."""
