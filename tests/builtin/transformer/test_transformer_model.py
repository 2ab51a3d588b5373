from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BartModel, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from prodmatch_core.builtin import language_model
from prodmatch_core.builtin.language_model import LanguageModel
from prodmatch_core.errors import ConfigError

Family = tuple[PreTrainedTokenizerFast, PreTrainedModel]


def error_of(name: str | Path) -> str:
    with pytest.raises(ConfigError) as caught:
        LanguageModel.pretrained(str(name))
    return str(caught.value)


def copied(saved: Path, to: Path) -> Path:
    return Path(shutil.copytree(saved, to / "copy"))


def test_a_folder_gives_the_states_of_the_model_saved_there(saved: Path, family: Family) -> None:
    wrapped, network = family
    model = LanguageModel.pretrained(str(saved))
    encoded = wrapped("red shoes", padding=False, return_tensors="pt", return_token_type_ids=False)
    assert model.tokenizer.encode("red shoes").ids == encoded["input_ids"][0].tolist()
    with torch.inference_mode():
        expected = network(**encoded).last_hidden_state
        assert torch.equal(model.network.eval()(**encoded).last_hidden_state, expected)


def test_truncation_and_padding_of_a_published_tokenizer_are_switched_off(saved: Path) -> None:
    tokenizer = LanguageModel.pretrained(str(saved)).tokenizer
    assert tokenizer.truncation is None
    assert tokenizer.padding is None


def test_positions_leave_out_those_roberta_keeps_for_padding(saved: Path) -> None:
    assert LanguageModel.pretrained(str(saved)).positions == 64


def test_token_types_are_read_where_the_network_knows_two(saved: Path, family: Family) -> None:
    inputs = LanguageModel.pretrained(str(saved)).inputs(flags=False)
    assert inputs.types is (family[1].config.type_vocab_size == 2)
    assert inputs.pad == family[0].pad_token_id


def test_the_pooler_that_no_loss_reaches_is_taken_off(saved: Path) -> None:
    names = LanguageModel.pretrained(str(saved)).network.state_dict()
    assert not [name for name in names if "pooler" in name]


def test_saved_and_loaded_without_a_pickle_it_gives_the_same_states(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LanguageModel.pretrained(str(copied(saved, tmp_path)))
    save_file(model.network.state_dict(), tmp_path / "weights.safetensors")
    model.save(tmp_path)
    shutil.rmtree(tmp_path / "copy")  # what it came from is no longer there

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was opened")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    again = LanguageModel.load(tmp_path)
    again.network.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    ids = torch.tensor([model.tokenizer.encode("red shoes").ids])
    assert again.tokenizer.encode("red shoes").ids == ids[0].tolist()
    with torch.inference_mode():
        states = [m.network.eval()(input_ids=ids).last_hidden_state for m in (model, again)]
    assert torch.equal(*states)
    assert again.inputs(True) == model.inputs(True)


def test_what_is_saved_does_not_name_the_folder_it_came_from(saved: Path, tmp_path: Path) -> None:
    LanguageModel.pretrained(str(saved)).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "tokenizer.json"]
    assert str(saved) not in (tmp_path / "config.json").read_text()


def test_half_precision_weights_are_loaded_in_single_precision(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    weights = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | {"dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config))
    model = LanguageModel.pretrained(str(folder))
    model.save(tmp_path)
    for network in (model.network, LanguageModel.load(tmp_path).network):
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_a_hub_name_while_offline_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    assert error_of("acme/encoder").startswith(
        f'model "acme/encoder": there is no folder {tmp_path}/acme/encoder, and the Hugging Face hub or its local '
        "cache gave no such model with safetensors weights. Weights are not downloaded while offline. Check the name, "
        "go online once, name a local folder, or leave model empty for a small model made on the spot. Reason: "
    )


def test_a_path_without_a_folder_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    assert error_of(tmp_path / "nowhere") == (
        f'model "{tmp_path}/nowhere": there is no folder {tmp_path}/nowhere. Name a folder that holds config.json, '
        "tokenizer.json and *.safetensors, or a model of the Hugging Face hub."
    )


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    assert error_of(tmp_path) == (
        f'model "{tmp_path}": the folder {tmp_path} has no config.json. Name the folder that save_pretrained wrote.'
    )


def test_pickled_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert error_of(folder) == (
        f'model "{folder}": the folder {folder} has no *.safetensors weights; pickled ones (*.bin) are never read. '
        "Load the model where you trust it and call save_pretrained."
    )


def test_damaged_weights_are_named(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    (folder / "model.safetensors").write_bytes(b"not weights at all")
    assert error_of(folder).startswith(f'model "{folder}": the folder {folder} cannot be loaded: ')


def test_weights_of_half_a_network_are_refused_rather_than_made_up(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layer.1.output" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert error_of(folder) == (
        f'model "{folder}": its weights lack 4 of the network\'s tensors, first encoder.layer.1.output.LayerNorm.bias. '
        "Name a model saved whole by save_pretrained."
    )


def test_a_tokenizer_of_another_model_is_refused(saved: Path, tmp_path: Path, family: Family) -> None:
    folder = copied(saved, tmp_path)
    wider = PreTrainedTokenizerFast.from_pretrained(folder)
    wider.add_tokens(["extra"])
    wider.save_pretrained(folder)
    rows = family[1].config.vocab_size
    assert error_of(folder) == (
        f'model "{folder}": the tokenizer has {rows + 1} tokens, the network embeds {rows}; they are not of one model.'
    )


def test_an_encoder_decoder_is_refused(tmp_path: Path, family: Family) -> None:
    sizes = {
        f"{side}_{name}": 2
        for side in ("encoder", "decoder")
        for name in ("layers", "attention_heads", "ffn_dim")
    }
    config = BartConfig(vocab_size=family[0].vocab_size, d_model=8, max_position_embeddings=16, **sizes)
    for part in (family[0], BartModel(config)):
        part.save_pretrained(tmp_path)
    assert error_of(tmp_path) == f'model "{tmp_path}" is an encoder-decoder (bart); name an encoder.'


def test_a_tokenizer_without_a_fast_form_is_refused(
    saved: Path, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowTokenizer:
        pad_token_id = 0

    monkeypatch.setattr(language_model.AutoTokenizer, "from_pretrained", lambda *_, **__: SlowTokenizer())
    assert error_of(saved) == (
        f'model "{saved}": its tokenizer (SlowTokenizer) has no fast form. '
        "Name a model that comes with a tokenizer.json."
    )


def test_an_unknown_kind_of_model_is_named(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    (folder / "config.json").write_text('{"model_type": "nonesuch"}')
    assert "nonesuch" in error_of(folder)


def test_code_shipped_with_a_model_is_not_run(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('ran')")
    assert error_of(folder).startswith(f'model "{folder}": the folder {folder} cannot be loaded: ')


def test_loading_prints_nothing_and_leaves_verbosity_as_it_was(
    saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.set_verbosity_info()
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    LanguageModel.pretrained(str(saved))
    after = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    assert before == after
    assert capfd.readouterr() == ("", "")
