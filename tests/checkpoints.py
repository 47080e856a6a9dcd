"""Small checkpoints of random weights in the hub's layout, for tests that bring one of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.pre_tokenizers import ByteLevel

if TYPE_CHECKING:
    import torch

WORDS = ("the", "mug", "red", "oak", "desk", "is", "of", "and")


def _tokenizer(*special: str) -> Tokenizer:
    """Byte-level, with a few words; the special tokens come first."""
    vocabulary = {token: place for place, token in enumerate((*special, *sorted(ByteLevel.alphabet())))}
    merges = []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def _save_text_tokenizer(folder: Path, *ends: str) -> Tokenizer:
    """A text encoder's: a padding token, and one before and after each text."""
    tokenizer = _tokenizer("[PAD]", *reversed(ends))  # CLIP takes an end of id 2 for an old fault of its own
    before, after = ends
    places = [(token, tokenizer.token_to_id(token)) for token in ends]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{before} $A {after}", pair=f"{before} $A {after} $B {after}", special_tokens=places
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def save_bert(folder: Path, width: int = 40, pooling: str | None = "cls_token", **more) -> None:
    """A BERT of two layers.

    Args:
        pooling: as sentence-transformers names it in its own layout; None: a plain folder of transformers.
        more: of its configuration.
    """
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = _save_text_tokenizer(folder, "[CLS]", "[SEP]")
    torch.manual_seed(1)
    settings = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 4}
    settings |= {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 48, "initializer_range": 0.3}
    BertModel(BertConfig(**settings | more), add_pooling_layer=False).save_pretrained(folder)
    if pooling:
        kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
        modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))


def save_towers(folder: Path, kind: str = "clip", width: int = 24, side: int = 32, seed: int = 2) -> None:
    """Both towers of a CLIP or a SigLIP of two layers each.

    Args:
        kind: ``clip`` or ``siglip``.
        width: of the space that they share.
        side: pixels a side of a picture.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    tokenizer = _save_text_tokenizer(folder, "<s>", "</s>")
    torch.manual_seed(seed)
    ids = {name: tokenizer.token_to_id(token) for name, token in _IDS.items()}
    hidden = width if kind == "siglip" else 32
    layers = {"hidden_size": hidden, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = layers | ids | {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 24}
    vision = layers | {"image_size": side, "patch_size": 8}
    shared = {"projection_dim": width} if kind == "clip" else {}
    config = AutoConfig.for_model(kind, text_config=text, vision_config=vision, **shared)
    AutoModel.from_config(config).save_pretrained(folder)
    said = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))


def save_image_network(folder: Path, kind: str = "vit", width: int = 32, classes: int = 10, side: int = 48) -> None:
    """An image network of transformers.

    Args:
        kind: ``vit``, ``dinov2``, ``resnet`` or ``convnext``.
        classes: 0 for the network alone, which is no classifier.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

    torch.manual_seed(7)
    if kind in ("vit", "dinov2"):
        sizes = {"hidden_size": width, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        sizes |= {"image_size": side, "patch_size": 8}
    else:
        sizes = {"hidden_sizes": [8, width], "depths": [1, 1], "num_stages": 2}
        sizes |= {"embedding_size": 8} if kind == "resnet" else {}
    names = ["mug", "lamp", "rifle", *(f"class {number}" for number in range(3, classes))][:classes]
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: n for n, name in enumerate(names)}}
    config = AutoConfig.for_model(kind, **sizes, **(labels if classes else {}))
    network = (AutoModelForImageClassification if classes else AutoModel).from_config(config)
    network.eval().save_pretrained(folder)
    said = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))


def save_fusion(path: Path, variant: str = "concat", **sizes: int) -> None:
    """A trained fusion's file, of random weights.

    Args:
        sizes: as `networks.fusion.Shape` has them.
    """
    import torch
    from safetensors.torch import save_file

    from networks.fusion import Shape, create

    torch.manual_seed(4)
    shape = Shape(**sizes)
    labels = torch.nn.functional.normalize(torch.randn(shape.classes, shape.width), dim=-1)
    network = create(variant, labels, shape)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2) if parameter.dim() else None
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)


def save_whisper(folder: Path, width: int = 128, heads: int = 2, mels: int = 80, positions: int = 1500) -> None:
    """A Whisper of two layers a side, of random weights."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(8)
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", 2), ("attention_heads", heads), ("ffn_dim", 3 * width))
    }
    sizes = {"d_model": width, "num_mel_bins": mels, "max_source_positions": positions, "vocab_size": 200}
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0)
    WhisperForConditionalGeneration(WhisperConfig(**sizes, **sides, **ids)).save_pretrained(folder)


def save_trained(path: Path, network: torch.nn.Module) -> None:
    """The weights of a network of our own, random ones, as training writes them."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(9)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2) if parameter.dim() > 1 else None
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, path)


def save_items(path: Path, width: int) -> None:
    """Two products of random vectors."""
    import numpy as np

    vectors = np.random.default_rng(1).standard_normal((2, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.savez(path, ids=np.array(["mug-1", "desk-1"]), titles=np.array(["Red mug", "Oak desk"]), embeddings=vectors)


def save_tags(path: Path, width: int) -> None:
    """A table of tags, of random vectors."""
    import numpy as np

    vectors = np.random.default_rng(0).standard_normal((6, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = ["mug", "lamp", "desk", "shoe", "chair", "tent"]
    scales = {"image_scale": 9.0, "named_scale": 1.0, "text_scale": 9.0, "least": 0.0}
    scales = {name: np.float32(value) for name, value in scales.items()}
    np.savez(path, words=np.array(words), fused=vectors, named=vectors, **scales)


_IDS = {"pad_token_id": "[PAD]", "bos_token_id": "<s>", "eos_token_id": "</s>"}


def save_qwen(folder: Path) -> None:
    """A Qwen2 of one layer, whose attention has biases, with the tokeniser and template of :func:`save_decoder`."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    save_decoder(folder)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    torch.manual_seed(3)
    sizes = {"hidden_size": 96, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 6}
    more = {"num_key_value_heads": 3, "max_position_embeddings": 2048, "initializer_range": 0.3}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=vocabulary, **sizes, **more, **ends)).save_pretrained(folder)


def save_recipe(folder: Path, **slots: dict | None) -> Path:
    """A recipe of one's own, whole and small: towers of one space, fusion and tags without training, a decoder.

    Args:
        folder: empty; the checkpoints lie there as well.
        slots: entries that differ; None leaves a slot out.
    """
    towers, decoder = folder / "towers", folder / "decoder"
    for each in (towers, decoder):
        each.mkdir()
    save_towers(towers)
    save_decoder(decoder, positions=2048)
    files = {
        "fusion": {"text": 1, "image": 2, "video": 1, "audio": 1, "behavior": 0.5},
        "tagger": {
            "words": ["mug", "lamp", "desk", "shoe", "chair", "tent"],
            **{"phrase": "a photo of a {}", "image_scale": 100, "text_scale": 100, "least": 0.0},
        },
        "item_index": [{"id": "mug-1", "title": "Red mug"}, {"id": "desk-1", "title": "Oak desk"}],
        "behavior_encoder": {"view": 1, "click": 2, "favourite": 3, "cart": 4, "buy": 5, "half_life_s": 3600},
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    close = {"tolerance": {"torch_onnx": 1e-4, "onnx_served": 1e-4}}
    made = {name: entry(folder / f"{name}.json") for name in files}
    made |= {name: entry(towers, **close) for name in ("text_encoder", "image_encoder", "video_encoder")}
    made["text_decoder"] = entry(decoder, precision="fp32", options={"prompts": "qwen2.5"})
    made = {name: slot for name, slot in (made | slots).items() if slot}
    path = folder / "tiny.yaml"
    path.write_text(json.dumps({"name": "tiny", "description": "Random weights.", "slots": made}))  # JSON is YAML
    return path


def entry(checkpoint: Path, **more) -> dict:
    """A recipe's entry for a checkpoint on disk."""
    from export.sources import sha256

    return {"sources": [f"file:{checkpoint}"], "sha256": sha256(checkpoint), "licence": "none", **more}


def save_decoder(folder: Path, seed: int | None = 0, positions: int = 256) -> None:
    """A causal network of two layers, a byte-level vocabulary with a few words, a chat template.

    Args:
        seed: of its weights; None: others each time.
        positions: most tokens of prompt and answer.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer("<|end|>")
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    if seed is None:
        torch.seed()
    else:
        torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
