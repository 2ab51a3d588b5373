"""The HTML report of a run, and drawings of a pipeline."""

from prodmatch_core.report.page import render, write_report

__all__ = ["render", "write_report"]
