"""Deliberately broken parts: each breaks one check of the conformance kit, and its docstring is what the kit says.

In a docstring `#` stands for a number that is not whole: the last digits differ between machines.
"""
