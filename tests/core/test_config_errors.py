"""What a user reads when a pipeline file is wrong: the full text, for every way we could think of."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_parts import BASE, fake_registry
from prodmatch_core.config import load_data, load_pipeline
from prodmatch_core.errors import ConfigError, PluginError
from prodmatch_core.plugins import PluginState
from prodmatch_core.records import EncoderSpec
from prodmatch_core.registry import Registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    return fake_registry()


@pytest.fixture
def complain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry):
    """Return a function: text of a pipeline file and settings -> the error's full text."""
    monkeypatch.chdir(tmp_path)

    def read(text: str | bytes, *settings: str, registry: Registry = registry) -> str:
        content = text.encode() if isinstance(text, str) else text
        Path("p.toml").write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load_pipeline("p.toml", settings, registry)
        return str(caught.value)

    return read


def test_the_base_file_is_valid(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "p.toml"
    path.write_text(BASE)
    assert load_pipeline(path, registry=registry).member[0].name == "text"


# -- files ---------------------------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_pipeline("absent.toml", registry=registry)
    assert str(caught.value) == "absent.toml: no such file"


def test_folder_instead_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(ConfigError) as caught:
        load_pipeline("folder", registry=registry)
    assert str(caught.value) == "folder: is a folder; name a pipeline file"


def test_a_name_no_file_can_have() -> None:
    with pytest.raises(ConfigError) as caught:
        load_pipeline("a\x00.toml", registry=fake_registry())
    assert str(caught.value) == "'a\\x00.toml': is no name a file can have; name a pipeline file"


def test_file_that_is_not_utf8(complain) -> None:
    assert (
        complain('name = "caf\u00e9"'.encode("latin-1"))
        == "p.toml: not UTF-8 at byte 11; save the file as UTF-8"
    )


def test_file_that_is_not_toml_names_the_line(complain) -> None:
    assert (
        complain("[pipeline]\nname = demo\n") == "p.toml: not valid TOML: Invalid value (at line 2, column 8)"
    )


def test_a_byte_order_mark_is_no_error(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert load_pipeline(path, registry=registry).pipeline.name == "demo"


def test_empty_file(complain) -> None:
    assert complain("") == (
        "p.toml: 3 problems\n"
        "  pipeline: missing; a table is required\n"
        "  data: missing; a table is required\n"
        "  member: missing; a list of tables is required"
    )


# -- values --------------------------------------------------------------------------------------------------


def test_text_where_a_number_between_0_and_1_is_expected(complain) -> None:
    file = BASE + (
        '\n[[member]]\nname = "second"\nencoder = { use = "fake.text" }\n'
        'loss = [{ use = "fake.margin", margin = "high" }]\n'
    )
    assert complain(file) == (
        'p.toml: 1 problem\n  member[1].loss[0].margin: expected a number between 0 and 1, got "high"'
    )


def test_number_out_of_bounds(complain) -> None:
    assert complain(BASE + 'loss = [{ use = "fake.margin", margin = 1.5 }]') == (
        "p.toml: 1 problem\n  member[0].loss[0].margin: expected a number between 0 and 1, got 1.5"
    )


def test_every_wrong_type_is_told_in_words(complain) -> None:
    wrong = 'width = "wide", mode = "both", dropout = 2, rates = [1, "a"], pooling = "max"'
    assert complain(BASE.replace('use = "fake.text"', f'use = "fake.text", {wrong}')) == (
        "p.toml: 5 problems\n"
        '  member[0].encoder.width: expected a whole number of at least 1, got "wide"\n'
        '  member[0].encoder.mode: expected one of "tower", "pair", got "both"\n'
        "  member[0].encoder.dropout: expected a number between 0 and 1, got 2.0\n"
        '  member[0].encoder.rates[1]: expected a number, got "a"\n'
        '  member[0].encoder.pooling: expected one of "mean", "first", got "max"'
    )


def test_true_is_no_whole_number(complain) -> None:
    assert complain(BASE.replace('name = "demo"', 'name = "demo"\nseed = true')) == (
        "p.toml: 1 problem\n  pipeline.seed: expected a number of at least 0, got true"
    )


def test_table_list_and_text_confused(complain) -> None:
    assert complain('member = "x"\npipeline = 3\n[data]\nuse = "fake.shop"\npositive = "exact"') == (
        "p.toml: 3 problems\n"
        "  pipeline: expected a table, got 3\n"
        '  data.positive: expected a list, got "exact"\n'
        '  member: expected a list, got "x"'
    )


def test_wrong_value_inside_a_mapping_has_its_key_in_the_path(complain) -> None:
    assert complain(BASE.replace('path = "pairs.csv"', 'path = "pairs.csv"\ncolumns = { query = 1 }')) == (
        "p.toml: 1 problem\n  data.columns.query: expected a text, got 1"
    )


def test_rule_that_ties_two_fields_together(complain) -> None:
    assert complain(BASE + 'loss = [{ use = "fake.range", low = 2 }]') == (
        "p.toml: 1 problem\n  member[0].loss[0]: high must be above low, got low = 2.0 and high = 1.0"
    )


def test_name_that_is_no_short_name(complain) -> None:
    assert complain(BASE + 'name = "my model"') == (
        "p.toml: 1 problem\n"
        '  member[0].name: expected a short name of letters, digits, - and _, got "my model"'
    )


def test_no_members(complain) -> None:
    assert complain('member = []\n[pipeline]\nname = "demo"\n[data]\nuse = "fake.shop"') == (
        "p.toml: 1 problem\n  member: expected at least one [[member]]"
    )


# -- keys and parts ------------------------------------------------------------------------------------------


def test_unknown_key_names_the_nearest(complain) -> None:
    assert complain(BASE.replace('use = "fake.text"', 'use = "fake.text", widht = 4')) == (
        'p.toml: 1 problem\n  member[0].encoder.widht: unknown key; did you mean "width"?'
    )


def test_unknown_key_without_a_near_one_lists_all(complain) -> None:
    assert complain(BASE + "\n[extra]\n") == (
        "p.toml: 1 problem\n"
        "  extra: unknown key; known: aggregator, calibrator, convert, data, evaluation, member, pipeline, relate"
    )


def test_misspelled_key_of_a_section_is_not_taken_for_the_parts(complain) -> None:
    assert complain(BASE + 'loss = [{ use = "fake.margin", wieght = 2 }]') == (
        'p.toml: 1 problem\n  member[0].loss[0].wieght: unknown key; did you mean "weight"?'
    )


def test_missing_required_field(complain) -> None:
    assert complain(BASE.replace('path = "pairs.csv"', "")) == (
        "p.toml: 1 problem\n  data.path: missing; a text is required"
    )


def test_missing_use(complain) -> None:
    assert complain(BASE.replace('use = "fake.text"', "width = 4")) == (
        'p.toml: 1 problem\n  member[0].encoder: missing "use": the name of an encoder; '
        "`prodmatch plugins` lists them"
    )


def test_use_that_is_no_name(complain) -> None:
    assert complain(BASE.replace('"fake.text"', "3")) == (
        "p.toml: 1 problem\n  member[0].encoder.use: expected the name of an encoder, got 3"
    )


def test_unknown_part_names_the_nearest(complain) -> None:
    assert complain(BASE.replace("fake.text", "fake.txt")) == (
        'p.toml: 1 problem\n  member[0].encoder.use: unknown encoder "fake.txt"; did you mean "fake.text"?'
    )


def test_part_of_the_wrong_kind(complain) -> None:
    assert complain(BASE.replace("fake.text", "fake.margin")) == (
        'p.toml: 1 problem\n  member[0].encoder.use: "fake.margin" is a loss; an encoder is expected here'
    )


def test_nested_part_has_the_whole_path(complain) -> None:
    graph = 'use = "fake.graph", layers = 0, text = { use = "fake.text", width = 0 }'
    assert complain(BASE.replace('use = "fake.text"', graph)) == (
        "p.toml: 2 problems\n"
        "  member[0].encoder.text.width: expected a whole number of at least 1, got 0\n"
        "  member[0].encoder.layers: expected a whole number of at least 1, got 0"
    )


def test_missing_nested_part(complain) -> None:
    assert complain(BASE.replace('use = "fake.text"', 'use = "fake.graph"')) == (
        "p.toml: 1 problem\n  member[0].encoder.text: missing; an encoder is required"
    )


def test_part_of_a_plugin_that_failed_says_why(complain) -> None:
    broken = PluginState("acme", "prodmatch-acme", "0.3", "prodmatch_acme.plugin")
    broken.fail("prodmatch-acme:acme: import of prodmatch_acme.plugin failed: ImportError: no scipy.")
    file = BASE.replace("fake.text", "acme.text")
    assert complain(file, registry=fake_registry(broken)) == (
        'p.toml: 1 problem\n  member[0].encoder.use: encoder "acme.text" is not available: '
        "prodmatch-acme:acme: import of prodmatch_acme.plugin failed: ImportError: no scipy."
    )


def test_part_claimed_by_two_distributions_names_both(complain) -> None:
    other = PluginState("other", "prodmatch-other", "0.3", "prodmatch_other.plugin")
    other.records.append(EncoderSpec(name="fake.text", summary="Mine.", factory="other:Text"))
    assert complain(BASE, registry=fake_registry(other)) == (
        'p.toml: 1 problem\n  member[0].encoder.use: encoder "fake.text" is claimed by '
        "prodmatch-fake 1.2 (prodmatch_fake.plugin) and prodmatch-other 0.3 (prodmatch_other.plugin). "
        "Uninstall one of them, or disable one: PRODMATCH_DISABLE_PLUGINS=prodmatch-other"
    )


def test_plugin_whose_types_cannot_be_resolved_is_the_plugins_fault(registry: Registry) -> None:
    import attrs

    cls = attrs.make_class("Config", {"x": attrs.field(type="Absent", default=0)})  # type: ignore[arg-type]
    broken = PluginState("b", "b", "1", "b")
    broken.records.append(EncoderSpec(name="b.text", summary="", factory="b:T", config=cls))
    tree = {"pipeline": {"name": "d"}, "data": {"use": "fake.shop"}, "member": {"encoder": {"use": "b.text"}}}
    with pytest.raises(PluginError, match=r"Config: the type of a field cannot be resolved.*Import the type"):
        load_pipeline(tree, registry=fake_registry(broken))


# -- fit -----------------------------------------------------------------------------------------------------


def test_loss_that_needs_what_the_encoder_does_not_give(complain) -> None:
    file = BASE.replace('use = "fake.text"', 'use = "fake.text", mode = "pair"')
    assert complain(file + 'loss = [{ use = "fake.margin" }]') == (
        "p.toml: 1 problem\n"
        "  member[0].loss[0].use: fake.margin needs similarity (cosine similarities of the batch's embeddings), "
        "which fake.text (encoder) does not give; given by fake.text (encoder, by default)"
    )


def test_graph_encoder_without_graph_and_sampler(complain) -> None:
    graph = 'use = "fake.graph", text = { use = "fake.text" }'
    assert complain(BASE.replace('use = "fake.text"', graph)) == (
        "p.toml: 2 problems\n"
        "  member[0].encoder.use: fake.graph needs blocks (sampled neighbourhoods of the batch's nodes), "
        "which fake.files (dataset) does not give; given by fake.uniform (graph-sampler)\n"
        "  member[0].encoder.use: fake.graph needs engagements (typed, counted links between queries and "
        "products), which fake.files (dataset) does not give; given by fake.shop (dataset)"
    )


def test_calibrator_that_needs_what_no_part_gives(complain) -> None:
    assert complain(BASE + '\n[[calibrator]]\nuse = "fake.reject"\n') == (
        "p.toml: 1 problem\n"
        "  calibrator[0].use: fake.reject needs uncertainty (a number per prediction that says how unsure it is), "
        "which no earlier part gives; given by fake.mean (aggregator)"
    )


def test_several_members_without_aggregator(complain) -> None:
    second = '\n[[member]]\nencoder = { use = "fake.text" }\n'
    assert complain(BASE + second) == (
        "p.toml: 1 problem\n  aggregator: missing; 2 members need one, for example fake.mean, fake.vote"
    )


def test_duplicate_member_names(complain) -> None:
    second = '\n[[member]]\nname = "a"\nencoder = { use = "fake.text" }\n[aggregator]\nuse = "fake.mean"\n'
    assert complain(BASE + 'name = "a"\n' + second) == (
        'p.toml: 1 problem\n  member[1].name: "a" is taken by member[0]; names must differ'
    )


def test_loss_on_a_part_that_fits_itself(complain) -> None:
    assert complain(BASE.replace("fake.text", "fake.trees") + 'loss = [{ use = "fake.entropy" }]') == (
        "p.toml: 1 problem\n"
        "  member[0].loss: fake.trees fits itself and takes no loss; remove it, or choose another encoder"
    )


def test_unknown_measures(complain) -> None:
    assert complain(BASE + 'training = { measure = "f1" }\n[evaluation]\nmeasures = ["acuracy"]\n') == (
        "p.toml: 2 problems\n"
        '  member[0].training.measure: unknown measure "f1"; known: accuracy, macro_f1\n'
        '  evaluation.measures[0]: unknown measure "acuracy"; did you mean "accuracy"?'
    )


def test_many_problems_are_told_at_once_in_file_order(complain) -> None:
    file = """
    [pipeline]
    name = "demo"
    task = "rank"
    [data]
    use = "fake.file"
    split = { valid = 0.9, tset = 0.1 }
    [[member]]
    encoder = { use = "fake.text", width = 0 }
    training = { epochs = 0, phase = [{ epochs = 1 }, { learning_rate = "slow" }] }
    [[member]]
    name = "second"
    [evaluation]
    level = 95
    """
    assert complain(file) == (
        "p.toml: 9 problems\n"
        '  pipeline.task: expected one of "match", "embed", "relate", "convert", got "rank"\n'
        '  data.use: unknown dataset "fake.file"; did you mean "fake.files"?\n'
        '  data.split.tset: unknown key; did you mean "test"?\n'
        "  data.split.valid: expected a number between 0 and 0.5, got 0.9\n"
        "  member[0].encoder.width: expected a whole number of at least 1, got 0\n"
        "  member[0].training.epochs: expected a whole number of at least 1, got 0\n"
        '  member[0].training.phase[1].learning_rate: expected a number above 0, got "slow"\n'
        "  member[1].encoder: missing; an encoder is required\n"
        "  evaluation.level: expected a number between 0 and 1, got 95.0"
    )


# -- settings ------------------------------------------------------------------------------------------------


def test_every_bad_setting_is_told(complain) -> None:
    settings = ("seed", "member.name=x", "member.5.name=x", "pipeline.name.first=x", "data.1.x=1")
    assert complain(BASE, *settings) == (
        "--set seed: expected path=value, like member.0.training.epochs=3\n"
        "--set member.name=x: member is a list; name the entry, like member.0.name\n"
        "--set member.5.name=x: member has 1 entries; the next one is member.1\n"
        '--set pipeline.name.first=x: pipeline.name is "demo", not a table\n'
        "--set data.1.x=1: data is one table; write [[data]] in the file to add another"
    )


def test_setting_of_an_unknown_key_is_told_like_one_in_the_file(complain) -> None:
    assert complain(BASE, "pipeline.sead=3") == (
        'p.toml: 1 problem\n  pipeline.sead: unknown key; did you mean "seed"?'
    )


def test_setting_of_the_wrong_type_is_told_like_one_in_the_file(complain) -> None:
    assert complain(BASE, "pipeline.seed=many") == (
        'p.toml: 1 problem\n  pipeline.seed: expected a number of at least 0, got "many"'
    )


# -- a data section alone ------------------------------------------------------------------------------------


def test_data_set_by_name_with_a_wrong_option(registry: Registry) -> None:
    with pytest.raises(ConfigError) as caught:
        load_data("fake.files", ["rows=0"], registry)
    assert str(caught.value) == (
        "fake.files: 2 problems\n"
        "  data.path: missing; a text is required\n"
        "  data.rows: expected a whole number of at least 1, got 0"
    )


def test_file_without_a_data_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.toml").write_text("[pipeline]\n")
    with pytest.raises(ConfigError) as caught:
        load_data("d.toml", (), registry)
    assert str(caught.value) == "d.toml: 1 problem\n  data: missing; a table is required"
