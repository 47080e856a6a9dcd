"""The text towers of CLIP and SigLIP: token ids → an embedding in the space that their image towers share.

Source: Radford et al. 2021, CLIP (arXiv:2103.00020); Zhai et al. 2023, SigLIP (arXiv:2303.15343).
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from families.common import hub
from families.common.slot import Slot
from families.text_encoder.sentence_transformers import sample
from graph.schema import Model

__all__ = ["accepts", "facts", "load", "sample", "sidecars"]
ACCEPTS = "a folder whose config.json has the model_type clip or siglip"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the folder is of this family."""
    return checkpoint.is_dir() and hub.model_type(checkpoint) in ("clip", "siglip")


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Width of the embedding, most tokens of a text, tokens of the vocabulary; the space of both towers."""
    config = hub.check(checkpoint, slot)
    text = settings(config)
    width = config.get("projection_dim", 512) if config["model_type"] == "clip" else text["hidden_size"]
    return {
        "width": width,
        "tokens": hub.most_tokens(checkpoint, text),
        "vocabulary": text["vocab_size"],
        "space": slot.sha256[:12],
    }


def settings(config: dict) -> dict:
    """What a configuration says of its text tower, with what it leaves to transformers' defaults."""
    named = {name: value for name, value in config.items() if name != "model_type"}
    return AutoConfig.for_model(config["model_type"], **named).text_config.to_dict()


def towers(checkpoint: Path, slot: Slot) -> PreTrainedModel:
    """The whole network of a checkpoint folder.

    Raises:
        BuildError: the folder holds one tower only.
    """
    hub.check(checkpoint, slot)
    network, report = AutoModel.from_pretrained(
        checkpoint, local_files_only=True, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    hub.check_weights(checkpoint, report)
    return network.eval()


class TextTower(nn.Module):
    """input_ids, attention_mask INT64 [B, L] → sentence_embedding FP32 [B, width], of unit length.

    SigLIP was trained on texts padded to one length, whose last place it pools.

    Args:
        network: both towers.
        pad_id: of the tokenizer's padding.
    """

    def __init__(self, network: PreTrainedModel, pad_id: int) -> None:
        super().__init__()
        self.tower, self.projection = network.get_submodule("text_model"), getattr(network, "text_projection", None)
        config = network.config.text_config
        self.length, self.pad_id = config.max_position_embeddings, pad_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if self.projection is not None:
            pooled = self.tower(input_ids=input_ids, attention_mask=attention_mask).pooler_output
            return nn.functional.normalize(self.projection(pooled), dim=-1)
        ids = torch.where(attention_mask > 0, input_ids, self.pad_id)
        room = torch.full((1, self.length), self.pad_id, dtype=ids.dtype).expand(ids.shape[0], -1)
        ids = torch.cat([ids, room], 1)[:, : self.length]
        return nn.functional.normalize(self.tower(input_ids=ids).pooler_output, dim=-1)


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The text tower."""
    return TextTower(towers(checkpoint, slot), (read_tokenizer(checkpoint, slot).padding or {})["pad_id"]).eval()


def read_tokenizer(checkpoint: Path, slot: Slot) -> Tokenizer:
    """The text tower's tokenizer."""
    config, tokens = settings(hub.check(checkpoint, slot)), facts(checkpoint, slot)["tokens"]
    return hub.tokenizer(checkpoint, config, tokens)


def sidecars(checkpoint: Path, slot: Slot, out: Path) -> None:
    """tokenizer.json, for the steps that read texts."""
    read_tokenizer(checkpoint, slot).save(str(out / "tokenizer.json"))
