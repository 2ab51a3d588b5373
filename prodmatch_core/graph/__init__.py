"""Directed, typed graphs as arrays: neighbourhoods, kernels that sample them, and blocks as tensors."""
