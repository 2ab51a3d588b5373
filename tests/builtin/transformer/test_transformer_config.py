from __future__ import annotations

import subprocess
import sys

import attrs
import pytest

from prodmatch_core.builtin.transformer_config import TransformerConfig
from prodmatch_core.fields import PRODUCT_FIELDS, field_docs


def test_every_text_column_of_a_product_can_be_read_and_no_other() -> None:
    assert TransformerConfig(fields=PRODUCT_FIELDS).fields == PRODUCT_FIELDS
    with pytest.raises(ValueError, match="expected a list of different words"):
        TransformerConfig(fields=("titel",))


def test_every_field_is_documented() -> None:
    assert set(field_docs(TransformerConfig)) == {field.name for field in attrs.fields(TransformerConfig)}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"mode": "two_tower", "overlap_flags": True},
            'overlap_flags needs mode = "cross_encoder": a tower sees one side only',
        ),
        ({"hidden": 30, "heads": 4}, "hidden must be a multiple of heads, got 30 and 4"),
        (
            {"model": "some/model", "pretrain_epochs": 1},
            "pretrain_epochs is for the small model; remove it, or leave model empty",
        ),
        ({"dropout": 1}, "dropout: expected a number of at least 0 and below 1, got 1"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the whole text is compared
        TransformerConfig(**fields)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "flags"),
    [
        ({}, True),
        ({"mode": "two_tower"}, False),
        ({"model": "some/model"}, False),
        ({"model": "some/model", "overlap_flags": True}, True),
        ({"overlap_flags": False}, False),
    ],
)
def test_overlap_flags_default_to_the_small_cross_encoder_only(fields: dict, flags: bool) -> None:
    assert TransformerConfig(**fields).flags is flags


def test_importing_the_configuration_loads_nothing_heavy() -> None:
    code = (
        "import sys, prodmatch_core.builtin.transformer_config\n"
        "print([name for name in ('torch', 'transformers', 'tokenizers', 'polars', 'numpy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
