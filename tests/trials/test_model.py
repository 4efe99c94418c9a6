"""Models: pooling, truncation, freezing, and folders that are no model."""

import json
import shutil

import pytest
import torch

from lexmove.errors import InfeasibleError, ModelError
from lexmove.job.spec import ModelSpec
from lexmove.trials import model as model_module
from lexmove.trials.adapters import adapters_of, merge_adapters
from lexmove.trials.classifier import LateInteraction, pool
from lexmove.trials.model import (
    build_classifier,
    check_model,
    load_pretrained,
    load_tokenizer,
    resolve_precision,
    verify_weights,
)
from lexmove.trials.recipe import Recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny BERT as a user's own folder, with a tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    path = tmp_path_factory.mktemp("models") / "tiny"
    vocabulary = {
        word: number
        for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "law", "move"])
    }
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=20,
    )
    BertModel(config).save_pretrained(path)
    BertTokenizerFast(vocab=vocabulary).save_pretrained(path)
    return path


def forward(classifier):
    ids = torch.tensor([[101, 2023, 2003, 102], [101, 102, 0, 0]])
    return logits_of(classifier, ids)


def logits_of(classifier, ids):
    return classifier.eval()(ids, (ids > 0).long()).logits


@pytest.mark.parametrize("layers", [1, 2, 6])
def test_minilm_keeps_its_first_layers(layers):
    pretrained = load_pretrained("minilm", layers)
    assert len(model_module.encoder_layers(pretrained.encoder)) == layers
    assert pretrained.max_positions == 512
    logits = forward(build_classifier(pretrained, Recipe(), num_labels=3))
    assert logits.shape == (2, 3)


def test_padding_changes_nothing():
    classifier = build_classifier(load_pretrained("minilm", 1), Recipe(), num_labels=3).eval()
    ids = torch.tensor([[101, 2023, 102]])
    padded = torch.tensor([[101, 2023, 102, 0, 0, 0]])
    one, other = (logits_of(classifier, batch) for batch in (ids, padded))
    torch.testing.assert_close(one, other)


def test_pooling_takes_the_first_token_or_the_mean_of_the_real_ones():
    hidden = torch.arange(12.0).reshape(1, 3, 4)
    mask = torch.tensor([[1, 1, 0]])
    assert pool(hidden, mask, "cls").tolist() == [[0, 1, 2, 3]]
    assert pool(hidden, mask, "mean").tolist() == [[2, 3, 4, 5]]


def test_late_interaction_is_the_mean_of_both_sides_highest_cosines():
    """Against plain loops over tokens; padding and an ending that is none change nothing."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn((2, 3, 5, 4), generator=generator)
    lengths = torch.tensor([[5, 2, 3], [1, 4, 0]])
    is_token = torch.arange(5) < lengths[..., None]
    module = LateInteraction(4)
    module.requires_grad_(requires_grad=False)
    module.importance.weight.copy_(torch.randn((1, 4), generator=generator))
    found = module(hidden, is_token)

    def side(mine: torch.Tensor, theirs: torch.Tensor) -> float:
        highest = torch.cosine_similarity(mine[:, None], theirs[None], dim=-1).amax(dim=1)
        weights = (mine @ module.importance.weight[0]).exp()
        return float((highest * weights).sum() / weights.sum())

    for example, other in ((0, 1), (0, 2), (1, 1)):
        first = hidden[example, 0, : lengths[example, 0]]
        second = hidden[example, other, : lengths[example, other]]
        wanted = (side(first, second) + side(second, first)) / 2
        assert float(found[example, other - 1]) == pytest.approx(wanted, abs=1e-6)
    assert torch.isfinite(found).all()


def test_a_trial_gets_its_own_copy_of_the_weights():
    pretrained = load_pretrained("minilm", 1)
    classifier = build_classifier(pretrained, Recipe(hidden_dropout=0.3), num_labels=2)
    for (name, mine), theirs in zip(
        classifier.encoder.named_parameters(), pretrained.encoder.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs), name
        assert mine.data_ptr() != theirs.data_ptr()
    rates = {m.p for m in classifier.encoder.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.3, 0.1}, "attention dropout stays as it was"


@pytest.mark.parametrize(
    ("recipe", "frozen"),
    [
        (Recipe(), set()),
        (Recipe(freeze_embeddings=True), {"embeddings"}),
        (Recipe(freeze_layers=1), {"embeddings", "encoder.layer.0"}),
    ],
)
def test_freezing(recipe, frozen):
    classifier = build_classifier(load_pretrained("minilm", 2), recipe, num_labels=2)
    for name, parameter in classifier.encoder.named_parameters():
        assert parameter.requires_grad != any(name.startswith(f"{part}.") for part in frozen)


def test_adapters_start_as_the_pretrained_model_and_are_all_that_is_trained():
    pretrained = load_pretrained("minilm", 2)
    recipe = Recipe(use_lora=True, lora_rank=4)
    torch.manual_seed(0)
    adapted = build_classifier(pretrained, recipe, num_labels=2)
    trained = {n: p for n, p in adapted.encoder.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 3 * 2, "down and up, of query, key and value, in two layers"
    plain = build_classifier(pretrained, Recipe(), num_labels=2)
    plain.head.load_state_dict(adapted.head.state_dict())
    torch.testing.assert_close(forward(adapted), forward(plain))
    torch.nn.init.ones_(next(p for n, p in trained.items() if "lora_B" in n))
    learned = forward(adapted)
    assert not torch.allclose(learned, forward(plain))
    merge_adapters(adapted)
    assert not adapters_of(adapted)
    torch.testing.assert_close(forward(adapted), learned)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(max_length=513), "model.max_length 513 is beyond the model's 512 positions"),
        (Recipe(freeze_layers=3), "model.freeze_layers is 3, but the model has 2 layers"),
        (Recipe(freeze_layers=1, use_lora=True), "model.freeze_layers has no effect with peft"),
    ],
)
def test_what_the_model_cannot_do_is_infeasible(recipe, message):
    with pytest.raises(InfeasibleError, match=message):
        build_classifier(load_pretrained("minilm", 2), recipe, num_labels=2)


def test_other_weights_than_the_expected_ones_are_refused(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"not what it was")
    with pytest.raises(ModelError, match=r"has SHA-256 .*reinstall"):
        verify_weights(weights, model_module.MINILM_SHA256)


def test_a_local_folder_loads_by_its_path(folder):
    check_model(ModelSpec(name=str(folder), max_length=20))
    pretrained = load_pretrained(str(folder), 2)
    assert pretrained.max_positions == 20
    assert len(model_module.encoder_layers(pretrained.encoder)) == 2


def test_too_many_layers_or_tokens_are_refused_before_a_study(folder):
    with pytest.raises(ModelError, match="num_hidden_layers is 7, but 'minilm' has 6 layers"):
        check_model(ModelSpec(num_hidden_layers=7))
    with pytest.raises(ModelError, match="takes 20 tokens at most"):
        check_model(ModelSpec(name=str(folder), max_length=21))


def test_no_more_tokens_pass_a_check_than_the_tokenizer_says(folder, tmp_path):
    """Every trial would be refused: a model's own bound may be higher."""
    copied = with_tokenizer(folder, tmp_path / "model", model_max_length=18)
    check_model(ModelSpec(name=copied, max_length=18))
    with pytest.raises(ModelError, match="takes 18 tokens at most"):
        check_model(ModelSpec(name=copied, max_length=19))


def test_a_tokenizer_without_padding_pads_with_another_token(folder, tmp_path):
    for name, tokens in (
        ("end", {"eos_token": "[SEP]", "unk_token": "[UNK]"}),
        ("unknown", {"unk_token": "[UNK]"}),
    ):
        copied = with_tokenizer(folder, tmp_path / name, pad_token=None, **tokens)
        check_model(ModelSpec(name=copied, max_length=16))
        assert load_tokenizer(copied).pad_token == next(iter(tokens.values()))


def test_a_tokenizer_with_no_token_to_pad_with_is_refused_before_a_study(folder, tmp_path):
    copied = with_tokenizer(folder, tmp_path / "model", pad_token=None, unk_token=None)
    with pytest.raises(ModelError, match=r"no token for padding.*set its pad_token"):
        check_model(ModelSpec(name=copied, max_length=16))


def with_tokenizer(folder, path, **changed):
    """A copy of a model's folder with other settings of its tokenizer; None takes one out."""
    shutil.copytree(folder, path)
    file = path / "tokenizer_config.json"
    settings = json.loads(file.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    settings = {key: value for key, value in (settings | changed).items() if value is not None}
    file.write_text(json.dumps(settings))
    return str(path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", "has no config.json"), ("model.safetensors", "has no weights: one of model")],
)
def test_an_incomplete_folder_says_what_is_missing(folder, tmp_path, missing, message):
    copied = shutil.copytree(folder, tmp_path / "model")
    (copied / missing).unlink()
    with pytest.raises(ModelError, match=message):
        check_model(ModelSpec(name=str(copied)))


def test_damaged_weights_and_configs_are_model_errors(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "model")
    (copied / "model.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_pretrained(str(copied))
    (copied / "config.json").write_text(json.dumps({"no": "type"}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        check_model(ModelSpec(name=str(copied)))


def test_a_hub_out_of_reach_names_the_ways_out(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"HF_HOME.*local folder.*'minilm'"):
        check_model(ModelSpec(name="nobody/nothing"))


@pytest.mark.parametrize("name", ["miniLM", "MiniLM", "mini-lm", "minilmm", "minlm"])
def test_the_built_in_model_in_another_spelling_is_not_looked_for_on_the_hub(name):
    with pytest.raises(ModelError, match="the built-in one is called 'minilm'"):
        load_pretrained(name)


def test_a_folder_that_is_not_there_is_no_hub_id():
    with pytest.raises(ModelError, match=r"no model folder '\./nowhere'"):
        check_model(ModelSpec(name="./nowhere"))


def test_auto_precision_is_what_the_hardware_is_made_for_and_others_stay(monkeypatch):
    assert resolve_precision("auto") in ("fp32", "bf16", "fp16")
    for precision in ("fp32", "bf16", "fp16"):
        assert resolve_precision(precision) == precision
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has_bf16, capability, wanted in (
        (True, (8, 0), "bf16"),
        (False, (7, 5), "fp16"),
        (False, (6, 1), "fp32"),
    ):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has_bf16, **_: has)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda at=capability: at)
        assert resolve_precision("auto") == wanted
