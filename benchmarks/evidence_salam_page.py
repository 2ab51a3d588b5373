"""The page of `evidence_salam.py`."""


def page(found):
    return ""
