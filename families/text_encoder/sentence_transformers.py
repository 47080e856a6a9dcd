"""Text encoders in the layout of sentence-transformers, and plain ones of transformers: token ids → an embedding.

A folder with ``modules.json`` says itself how token states become one vector. One without says nothing of it: the
slot's option ``pooling`` does. What stands before every text ("query: ") is the option ``prompt``, or the folder's own
default prompt. Source: Reimers & Gurevych 2019, Sentence-BERT.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import normalizers
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForTextEncoding

from families.common import hub
from families.common.slot import BuildError, Slot
from graph.schema import Model

ACCEPTS = "a folder with modules.json, or one with config.json and the slot's option pooling"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the folder is of this family."""
    if not checkpoint.is_dir():
        return False
    return (checkpoint / "modules.json").is_file() or "pooling" in slot.options


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Width of the embedding, most tokens of a text, tokens of the vocabulary; the space that it alone is in."""
    config = hub.check(checkpoint, slot)
    width: Any = config.get("hidden_size") or config.get("d_model") or config.get("dim")
    for module in _modules(checkpoint, slot):
        if module["kind"] == "Pooling":
            width *= len(module["modes"])
        elif module["kind"] == "Dense":
            width = module["out_features"]
    limit = None
    if (checkpoint / "sentence_bert_config.json").is_file():
        limit = hub.read_json(checkpoint, "sentence_bert_config.json").get("max_seq_length")
    return {
        "width": width,
        "tokens": hub.most_tokens(checkpoint, config, limit),
        "vocabulary": config["vocab_size"],
        "space": slot.sha256[:12],
    }


def _modules(checkpoint: Path, slot: Slot) -> list[dict]:
    """What follows the transformer, each a ``kind`` with its settings.

    Raises:
        BuildError: a module of an unknown kind, or a pooling that is not known.
    """
    if not (checkpoint / "modules.json").is_file():
        return [_pooling({str(slot.options["pooling"])}, str(checkpoint))]
    found = []
    for entry in hub.read_json(checkpoint, "modules.json", list):
        kind, folder = entry["type"].rsplit(".", 1)[-1], checkpoint / entry["path"]
        if kind == "Pooling":
            config = hub.read_json(folder, "config.json")
            modes = {n.removeprefix("pooling_mode_") for n, on in config.items() if "pooling_mode_" in n and on}
            if isinstance(config.get("pooling_mode"), str):  # as newer releases write it
                modes = {config["pooling_mode"]}
            if config.get("include_prompt") is False and _prompt(checkpoint, slot):
                raise BuildError(f"{folder}: leaves the prompt's tokens out of the mean; set the option prompt: ''")
            found.append(_pooling(modes, str(folder)))
        elif kind == "Dense":
            config = hub.read_json(folder, "config.json")
            activation = config.get("activation_function", "torch.nn.modules.linear.Identity").rsplit(".", 1)[-1]
            found.append({"kind": kind, "folder": folder, "activation": activation, **config})
        elif kind not in ("Transformer", "Normalize"):  # the embedding is of unit length in any case
            raise BuildError(
                f"{checkpoint}: modules.json has a {kind}, which is not built here; Transformer, Pooling, Dense and "
                "Normalize are"
            )
    return found


def _pooling(modes: set[str], where: str) -> dict:
    if not modes or not modes <= POOLING.keys():
        raise BuildError(f"{where}: pools by {', '.join(sorted(modes)) or 'nothing'}; known: {', '.join(POOLING)}")
    return {"kind": "Pooling", "modes": sorted(modes, key=list(POOLING).index)}


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def _max(states: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask > 0, states, -1e9).amax(1)


def _root(states: Tensor, mask: Tensor) -> Tensor:
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9).sqrt()


def _weighted(states: Tensor, mask: Tensor) -> Tensor:
    return _mean(states, mask * torch.arange(1, states.shape[1] + 1, dtype=states.dtype)[None, :, None])


def _last(states: Tensor, mask: Tensor) -> Tensor:
    """The last token that is there: the only one whose mask is not followed by another."""
    after = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], 1)
    return (states * mask * (1 - after)).sum(1)


#: A text's token states [B, L, H] and their mask [B, L, 1] → [B, H]; in the order in which several are joined.
POOLING = {
    "cls_token": lambda states, mask: states[:, 0],
    "max_tokens": _max,
    "mean_tokens": _mean,
    "mean_sqrt_len_tokens": _root,
    "weightedmean_tokens": _weighted,
    "lasttoken": _last,
}
#: As newer releases and the option `pooling` name them.
POOLING |= {"cls": POOLING["cls_token"], "max": _max, "mean": _mean, "weightedmean": _weighted}


class SentenceEncoder(nn.Module):
    """input_ids, attention_mask INT64 [B, L] → sentence_embedding FP32 [B, width], of unit length.

    Args:
        transformer: gives the states of tokens.
        modes: of pooling, by name.
        layers: what follows, on the pooled vector.
    """

    def __init__(self, transformer: nn.Module, modes: list[str], layers: nn.Sequential) -> None:
        super().__init__()
        self.transformer, self.modes, self.layers = transformer, modes, layers

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        pooled = torch.cat([POOLING[mode](states, mask) for mode in self.modes], -1)
        return nn.functional.normalize(self.layers(pooled), dim=-1)


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network of a checkpoint folder."""
    config = hub.check(checkpoint, slot)
    kind = AutoModelForTextEncoding if config["model_type"] in ("t5", "mt5", "umt5") else AutoModel
    transformer, report = kind.from_pretrained(
        checkpoint,
        local_files_only=True,
        attn_implementation="eager",
        dtype=torch.float32,
        output_loading_info=True,
    )
    hub.check_weights(checkpoint, report, "pooler.")
    modes: list[str] = []
    layers = nn.Sequential()
    for module in _modules(checkpoint, slot):
        if module["kind"] == "Pooling":
            modes = module["modes"]
        else:
            dense = nn.Linear(module["in_features"], module["out_features"], bias=module.get("bias", True))
            weights = _dense_weights(module["folder"], slot)
            dense.load_state_dict({name.removeprefix("linear."): value.float() for name, value in weights.items()})
            layers.extend([dense, getattr(nn, module["activation"])()])
    return SentenceEncoder(transformer, modes, layers).eval()


def _dense_weights(folder: Path, slot: Slot) -> dict[str, Tensor]:
    if (folder / hub.WEIGHTS).is_file():
        return load_file(folder / hub.WEIGHTS)
    if (folder / hub.PICKLES[0]).is_file() and slot.options.get("pickle"):
        return torch.load(folder / hub.PICKLES[0], map_location="cpu", weights_only=True)
    if not (folder / hub.PICKLES[0]).is_file():
        raise BuildError(f"{folder}: no {hub.WEIGHTS}; take the whole folder of the checkpoint")
    raise BuildError(f"{folder}: no {hub.WEIGHTS}; save its weights as safetensors, or set the option pickle: true")


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: random ids, each row masked to a length of its own."""
    shape = (sizes["batch"], sizes["length"])
    lengths = rng.integers(1, sizes["length"] + 1, sizes["batch"])
    lengths[0] = sizes["length"]
    mask = (np.arange(sizes["length"]) < lengths[:, None]).astype(np.int64)
    ids = rng.integers(sizes["vocabulary"] // 30, sizes["vocabulary"], shape)  # the first are special ones
    return {"input_ids": ids * mask, "attention_mask": mask}


def sidecars(checkpoint: Path, slot: Slot, out: Path) -> None:
    """tokenizer.json, for the steps that read texts."""
    tokens = facts(checkpoint, slot)["tokens"]
    tokenizer = hub.tokenizer(checkpoint, hub.check(checkpoint, slot), tokens)
    if prompt := _prompt(checkpoint, slot):
        hub.normalize_before(tokenizer, normalizers.Prepend(prompt))
    tokenizer.save(str(out / "tokenizer.json"))


def _prompt(checkpoint: Path, slot: Slot) -> str:
    """What stands before every text.

    Raises:
        BuildError: the folder's default prompt is none of its prompts.
    """
    if "prompt" in slot.options:
        return str(slot.options["prompt"])
    if not (checkpoint / "config_sentence_transformers.json").is_file():
        return ""
    said = hub.read_json(checkpoint, "config_sentence_transformers.json")
    name, prompts = said.get("default_prompt_name"), said.get("prompts") or {}
    if name is not None and name not in prompts:
        known = ", ".join(map(repr, prompts)) or "none"
        raise BuildError(
            f"{checkpoint}: its default prompt {name!r} is none of its prompts: {known}; set option prompt"
        )
    return str(prompts[name]) if name is not None else ""
