"""The pages of docs/reference/ that `generate.py` writes, a module for each sort of page."""
