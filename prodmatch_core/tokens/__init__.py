"""Texts as tokens: what encoders that read token by token share, the built-in ones and those of plugins."""
