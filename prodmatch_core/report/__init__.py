"""The HTML report of a run, and drawings of a pipeline."""
