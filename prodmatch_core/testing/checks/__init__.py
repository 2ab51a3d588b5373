"""The checks: one module a kind, one function `check_<id>(subject)` a law; its docstring is what the law demands."""
