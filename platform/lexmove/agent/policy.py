"""The policy network: one logit per candidate, added to the floor's; plain torch."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from lexmove.agent.observation import IS_CONTINUE, NET_STEP, NUM_FEATURES, NUM_GLOBALS
from lexmove.errors import ModelError

WIDTH = 48
"""d: numbers per token."""

NUM_BLOCKS = 2
NUM_HEADS = 4
MASKED_LOGIT = -1e9
"""Finite, so that a row without a selectable candidate gives no NaN."""

_HASH_LENGTH = 16
_INIT_SEED = 0
_FORMAT = 1


class _Block(nn.Module):
    """Pre-norm self-attention over the tokens of one decision, then a small MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp_norm = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, tokens_BTd: Tensor, allowed_BT: Tensor) -> Tensor:
        batch, num_tokens, _ = tokens_BTd.shape
        qkv = self.qkv(self.attention_norm(tokens_BTd))
        heads = qkv.view(batch, num_tokens, 3, NUM_HEADS, WIDTH // NUM_HEADS)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=allowed_BT[:, None, None, :]
        )
        mixed = attended.transpose(1, 2).reshape(batch, num_tokens, WIDTH)
        tokens: Tensor = tokens_BTd + self.out(mixed)
        result: Tensor = tokens + self.mlp(self.mlp_norm(tokens))
        return result


class PointerPolicy(nn.Module):
    """Points at one of K candidates; any search space, any number of hyperparameters.

    Shape suffixes: B batch, K candidates, F features, G globals, T = K + 1 tokens, d width. The
    residual head starts at zero, and so does the direction: untrained, the logits are the prior's,
    which are the floor's.

    The direction is what a start's logit gains, beside other starts, per unit range that it raises
    the numbers of a config by, all in all; below 0 it gains by lowering them. A job learns it in
    hindsight, and no gradient of the logits reaches it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.candidate = nn.Sequential(
            nn.Linear(NUM_FEATURES, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)
        )
        self.study = nn.Sequential(
            nn.Linear(NUM_GLOBALS, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)
        )
        self.blocks = nn.ModuleList(_Block() for _ in range(NUM_BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)
        self.residual = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.residual.weight)
        nn.init.zeros_(self.residual.bias)
        self.direction = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.value = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))

    @classmethod
    def untrained(cls) -> "PointerPolicy":
        """The same initial weights in every process; torch's global generator is left alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_INIT_SEED)
            return cls()

    def forward(
        self, features_BKF: Tensor, globals_BG: Tensor, mask_BK: Tensor, prior_BK: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, K), −1e9 where `mask_BK` (bool, or 0 and 1) is false, and values (B,)."""
        tokens_BTd = self.encode(features_BKF, globals_BG, mask_BK)
        return self.read(tokens_BTd, features_BKF, mask_BK, prior_BK)

    def logits(
        self, features_BKF: Tensor, globals_BG: Tensor, mask_BK: Tensor, prior_BK: Tensor
    ) -> Tensor:
        """Those of `forward` (B, K), to the bit.

        Where the residual head is zero no token changes them, and they are not computed.
        """
        if self.residual.weight.any() or self.residual.bias.any():
            tokens_BTd = self.encode(features_BKF, globals_BG, mask_BK)
        else:
            batch, num_candidates = mask_BK.shape
            tokens_BTd = features_BKF.new_zeros((batch, 1 + num_candidates, WIDTH))
        return self.read(tokens_BTd, features_BKF, mask_BK, prior_BK)[0]

    def encode(self, features_BKF: Tensor, globals_BG: Tensor, mask_BK: Tensor) -> Tensor:
        """The tokens (B, T, d): the study's first, then the candidates'.

        The global token is always attended to, so that an empty decision is no NaN.
        """
        study_B1d = self.study(globals_BG).unsqueeze(1)
        tokens_BTd = torch.cat([study_B1d, self.candidate(features_BKF)], dim=1)
        allowed_BT = nn.functional.pad(mask_BK.bool(), (1, 0), value=True)
        for block in self.blocks:
            tokens_BTd = block(tokens_BTd, allowed_BT)
        normed_BTd: Tensor = self.norm(tokens_BTd)
        return normed_BTd

    def read(
        self, tokens_BTd: Tensor, features_BKF: Tensor, mask_BK: Tensor, prior_BK: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, K) and values (B,) from tokens."""
        turn_BK = self._turn(features_BKF, mask_BK, prior_BK)
        logits_BK = prior_BK + turn_BK + self.residual(tokens_BTd[:, 1:]).squeeze(-1)
        value_B = self.value(tokens_BTd[:, 0]).squeeze(-1)
        return logits_BK.masked_fill(~mask_BK.bool(), MASKED_LOGIT), value_B

    def _turn(self, features_BKF: Tensor, mask_BK: Tensor, prior_BK: Tensor) -> Tensor:
        """What the direction adds to the logits (B, K).

        It chooses among starts: together they keep the prior's share beside paused trials, which
        make no step.
        """
        if not self.direction.any():
            return torch.zeros_like(prior_BK)
        turn_BK = self.direction.detach() * features_BKF[..., NET_STEP]
        is_start_BK = mask_BK.bool() & (features_BKF[..., IS_CONTINUE] < 0.5)
        before_B1, after_B1 = (
            logits_BK.masked_fill(~is_start_BK, MASKED_LOGIT).logsumexp(-1, keepdim=True)
            for logits_BK in (prior_BK, prior_BK + turn_BK)
        )
        return (turn_BK + before_B1 - after_B1).masked_fill(~is_start_BK, 0.0)


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """The policy version: 16 hex digits of the SHA-256 of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:_HASH_LENGTH]


def save_weights(module: PointerPolicy, path: Path) -> str:
    """Writes `path` (safetensors) and its `.json` beside it; returns the hash.

    Both are written aside and renamed, the JSON last.
    """
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    version = weights_hash(state)
    about = {"format": _FORMAT, "hash": version, "features": NUM_FEATURES, "globals": NUM_GLOBALS}
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, save(state))
    _replace(_about_path(path), json.dumps(about, indent=2).encode() + b"\n")
    return version


def load_weights(path: Path) -> PointerPolicy:
    """Reads what `save_weights` wrote and checks the hash.

    Raises:
        ModelError: a file is missing or broken, the weights belong to another network, or they
            are not those that the JSON names.
    """
    about = _read_about(_about_path(path))
    try:
        state = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"policy weights {path} cannot be read: {error}") from None
    found = weights_hash(state)
    if found != about.get("hash"):
        raise ModelError(
            f"policy weights {path} have the hash {found}, but {_about_path(path).name} says "
            f"{about.get('hash')}: one of the two files was changed; restore both from one source"
        )
    policy = PointerPolicy.untrained()
    if why := _misfit(about, state, policy.state_dict()):
        raise ModelError(
            f"policy weights {path} belong to another network ({why}): use weights of this version"
        )
    policy.load_state_dict(state)
    return policy


def _misfit(
    about: Mapping[str, object], state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> str | None:
    """Why weights are not those of this network; None if they may be."""
    for what, number in (("features", NUM_FEATURES), ("globals", NUM_GLOBALS)):
        if about.get(what) != number:
            return f"they say {about.get(what)} {what}, this version has {number}"
    if others := sorted(set(state) ^ set(own)):
        return f"{others[0]} is in one of the two alone"
    for name, tensor in state.items():
        mine = own[name]
        if (tensor.shape, tensor.dtype) != (mine.shape, mine.dtype):
            return f"{name} is {_kind(tensor)}, here {_kind(mine)}"
        if not tensor.isfinite().all():
            return f"{name} holds what is no number"
    return None


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _read_about(path: Path) -> dict[str, object]:
    try:
        about = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the description {path} of policy weights cannot be read: {error}"
        ) from None
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise ModelError(f"{path} does not describe policy weights of format {_FORMAT}")
    return about


def weights_files(path: Path) -> tuple[Path, ...]:
    """All files of weights that `save_weights` wrote to `path`, that one first."""
    return path, _about_path(path)


def _about_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(content)
    aside.replace(path)
