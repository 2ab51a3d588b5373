"""Interpretable ensembles: trees over members, Shapley values, selection under a budget."""
