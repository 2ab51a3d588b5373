"""Estimates of uncertainty and decisions made of score and uncertainty, as prodmatch parts."""
