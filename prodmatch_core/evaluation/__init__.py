"""Measures of predictions and rankings, their intervals, and what is significant."""
