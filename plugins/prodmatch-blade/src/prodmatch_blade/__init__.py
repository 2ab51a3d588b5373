"""BLADE: dual embeddings and degree-biased sampling for directed product graphs."""
