"""A third party's plugin, as an example: late interaction of words, and a loss over pairs of products."""
