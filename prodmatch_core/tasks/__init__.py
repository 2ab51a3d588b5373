"""The four questions: how a data set becomes examples, and what head answers."""
