"""Low-rank adapters (LoRA, by peft) beside an encoder's attention, which itself stays frozen.

Hu et al. 2022, arXiv 2106.09685.
"""

from typing import Any

from torch import nn

from lexmove.errors import InfeasibleError
from lexmove.trials.recipe import Recipe

_ATTENTION = (
    "q",
    "k",
    "v",
    "query",
    "key",
    "value",
    "q_lin",
    "k_lin",
    "v_lin",
    "q_proj",
    "k_proj",
    "v_proj",
    "query_proj",
    "key_proj",
    "value_proj",
    "Wqkv",
)
"""Attention's input projections in BERT, DistilBERT, MPNet, Llama, DeBERTa, ModernBERT kinds."""


def add_adapters(encoder: nn.Module, recipe: Recipe) -> None:
    """Freezes the encoder and puts adapters beside its attention projections, in place.

    Raises:
        InfeasibleError: the architecture names its projections otherwise.
    """
    from peft import LoraConfig, inject_adapter_in_model

    names = {name.rsplit(".", 1)[-1] for name, _ in encoder.named_modules()}
    if names.isdisjoint(_ATTENTION):
        raise InfeasibleError("peft.use_lora: this architecture has no known attention projections")
    settings: dict[str, Any] = {
        "r": recipe.lora_rank,
        "lora_alpha": recipe.lora_alpha,
        "lora_dropout": recipe.lora_dropout,
        "target_modules": sorted(names.intersection(_ATTENTION)),
    }
    inject_adapter_in_model(LoraConfig(**settings), encoder)


def adapters_of(model: nn.Module) -> list[nn.Module]:
    """The adapted layers of a model, peft's `LoraLayer` each."""
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer)]


def merge_adapters(model: nn.Module) -> None:
    """Adds what the adapters learned to the layers beside them and takes them out, in place."""
    from peft.tuners.lora import LoraLayer

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
