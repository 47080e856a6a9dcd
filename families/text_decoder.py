"""Causal language model with a KV cache (SmolLM2, or any Llama-shaped checkpoint) → ONNX with GroupQueryAttention.

Built by onnxruntime-genai's model builder with the embedding table left out, so that a soft prefix may stand beside
token embeddings; `decoding` runs it. Source: Allal et al. 2025, SmolLM2; Ainslie et al. 2023, GQA.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any
from unittest import mock

import gguf
import numpy as np
import onnxruntime as ort
import psutil
import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig, PreTrainedModel

from families.common import prompts
from families.common.parity import ParityError, batches, session
from families.common.quantization import quantize_activations
from families.common.slot import BuildError, Slot

PRECISIONS = ("fp32", "fp16", "int8", "int4")
#: Provider and precision of the graphs that the builder and the engine have.
_BUILT = (("cpu", "fp32"), ("cpu", "int8"), ("cpu", "int4"), ("cuda", "fp16"), ("cuda", "int4"))
#: Prompt lengths, in tokens, that parity is measured at, and the tokens forced after each prompt.
LENGTHS, FORCED = (8, 32, 96), 16
#: What the network reads, to see which channels of its activations are large: questions and answers like a shop's.
_CHATS = (
    (
        "Write a short product description for a blue wool jumper with a round neck.",
        "Stay warm on cold mornings with this soft blue jumper. It is knitted from pure lambswool, has a classic round "
        "neck, and fits well over a shirt. The ribbed cuffs keep their shape wash after wash. Sizes: S to XXL. Hand "
        "wash at 30 degrees, dry flat, and it will be with you for many winters.",
    ),
    (
        "Write a funny ad for a folding bicycle that weighs 11.5 kg and costs 499.00 EUR.",
        "Tired of buses that never come? Meet the bike that fits under your desk! At only 11.5 kg it folds in ten "
        "seconds, rides like a big one, and costs just 499.00 EUR. No petrol, no parking, no excuses. Your boss will "
        "wonder why you are smiling at 8:59. Order today and be the one who is never late again!",
    ),
    (
        'A customer writes: "My parcel has not come yet. Where is it?" Answer in one sentence.',
        "Dear customer, thank you for your message. I am sorry that your parcel has not arrived; it left our warehouse "
        "on Tuesday and should reach you within two working days, and I will send you the tracking number at once.",
    ),
    (
        "Write a review of a garden chair, three stars of five, with one complaint.",
        "I bought two of these chairs for our balcony in May. They are light, look better than on the pictures, and "
        "were put together in a quarter of an hour. The seat is comfortable even without a cushion. But after the "
        "first rain there were rust spots around the screws, and that should not happen at this price. Three stars of "
        "five.",
    ),
    (
        "Is the lamp waterproof? Answer from these facts: material: steel; colour: black; protection: IP44.",
        "Yes, within limits: the lamp is rated IP44, which means that it bears splashing water from any side, so it "
        "may hang outdoors under a roof or in a bathroom. It must not be put under water. The body is of black steel.",
    ),
    (
        "为这款陶瓷茶壶写一段简短的商品描述。",
        "这款陶瓷茶壶采用优质白瓷烧制而成，壶身圆润，釉面光滑，握感舒适。内置不锈钢滤网，泡茶方便，清洗简单。"
        "容量六百毫升，适合两到四人使用，是家庭日常饮茶和送礼的好选择。",
    ),
)
#: Longest prompt and answer together, in tokens, that the served decoder takes unless the recipe says otherwise.
MAX_LENGTH = 1024
_TEXT = """<|im_start|>user
Write a short product description for a red ceramic coffee mug with a bamboo lid.<|im_end|>
<|im_start|>assistant
Start your morning with a splash of colour. This red ceramic mug holds 350 ml, keeps your coffee warm under its snug
bamboo lid, and is safe in the dishwasher and the microwave. The wide handle is easy to hold, the glazed inside does
not stain, and the matte outside feels soft in the hand. A thoughtful gift for friends, family and colleagues who
cannot begin the day without a good cup. Made in small batches, so that every piece has a character of its own.
"""


def build(checkpoint: Path, slot: Slot, out: Path) -> None:
    """Writes what the text_decoder model needs into `out`.

    Files: ``model.onnx`` with ``model.onnx.data``; ``embeddings.npy`` [vocabulary, hidden], the input table,
    FP32, or FP16 beside quantised weights;
    ``tokenizer.json``; ``prompts.json``, see `stages.prompts`; ``decoder.json``, the network's shape and end tokens.

    Args:
        checkpoint: a GGUF file, or a folder in the hub's layout.
        slot: `precision` fp32, fp16, int8 or int4, of the weights; options `max_length`, in tokens, `prompts`, a file
            of `recipes/prompts/` without its ending, and `provider`, cpu or cuda: a graph for CUDA computes in FP16,
            keys and values too. fp16 is built for CUDA alone, fp32 and int8 for the CPU alone.

    Raises:
        ValueError: a checkpoint that is cut off or has no end-of-text token or chat template, or prompts that do not
            suit the chat template.
        BuildError: the precision is not built for the provider; there is too little memory or disk for it; or the
            builder failed, its last lines in the message.
    """
    provider = str(slot.options.get("provider", "cpu"))
    if (provider, slot.precision) not in _BUILT:
        known = ", ".join(f"{precision} for {each}" for each, precision in _BUILT)
        raise BuildError(f"text_decoder: {slot.precision} for {provider} is not built; take one of {known}")
    check_room(weights(checkpoint), out)
    folder = hub_folder(checkpoint, out)
    (out / "prompts.json").write_text(_prompts(folder, slot), encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="onnx-") as built:
        _run_builder(folder, slot.precision, provider, Path(built))
        network = load(folder)
        if slot.precision == "int8":
            quantize_activations(Path(built) / "model.onnx", _typical_runs(folder, network))
        for name in ("model.onnx", "model.onnx.data", "tokenizer.json"):
            shutil.move(Path(built) / name, out / name)
    # Half precision beside quantised weights: a table of 150,000 tokens is as large as the network in int4.
    kind = torch.float32 if slot.precision == "fp32" else torch.float16
    table = network.get_input_embeddings().get_parameter("weight").detach().to(kind).numpy()
    np.save(out / "embeddings.npy", table)
    (out / "decoder.json").write_text(json.dumps(_shape(network, slot), indent=1))


def weights(checkpoint: Path) -> int:
    """How many numbers a checkpoint holds.

    Raises:
        ValueError: it cannot be read.
    """
    if checkpoint.is_dir():
        found = 0
        for path in checkpoint.glob("model*.safetensors"):
            with safe_open(path, "np") as file:
                found += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        return found
    try:
        return sum(int(tensor.n_elements) for tensor in _read_gguf(str(checkpoint)).tensors)
    except Exception as error:  # its reader raises whatever a wrong byte leads to
        raise ValueError(f"{checkpoint} cannot be read as GGUF: {error}; fetch it again") from error


def check_room(count: int, out: Path) -> None:
    """Whether the builder, which takes eight bytes a weight of memory and up to six of disk, has them.

    Raises:
        BuildError: it has not; before minutes are spent on it.
    """
    for what, each, free, mend in (
        ("memory", 8, psutil.virtual_memory().available, "close other programs, export with --jobs 1"),
        ("disk", 6, shutil.disk_usage(out).free, f"make room below {out.parent}, set VITRINA_CACHE to another disk"),
    ):
        if free < (need := each * count):
            raise BuildError(
                f"text_decoder: exporting {count / 1e9:.2g} billion weights takes some {need / 1e9:.3g} GB of {what}, "
                f"{free / 1e9:.3g} GB are free; {mend}, or take a smaller decoder (--recipe offline-small)"
            )


#: transformers opens a GGUF four times, and each time reads a vocabulary of 150,000 for ten seconds.
_read_gguf = lru_cache(gguf.GGUFReader)


def hub_folder(checkpoint: Path, out: Path) -> Path:
    """The checkpoint in the hub's layout, which the builder reads: a GGUF is converted, in FP16, beside `out`.

    Nothing of it stays in memory, because the builder needs four bytes a weight more than once.

    Raises:
        ValueError: the GGUF cannot be read.
    """
    if checkpoint.is_dir():
        return checkpoint
    folder = out.with_name(f"{out.name}-checkpoint")
    if not folder.exists():
        try:
            with mock.patch("gguf.GGUFReader", _read_gguf):
                loaded = AutoModelForCausalLM.from_pretrained(
                    str(checkpoint.parent), gguf_file=checkpoint.name, dtype=torch.float16, local_files_only=True
                )
                tokenizer = AutoTokenizer.from_pretrained(
                    str(checkpoint.parent), gguf_file=checkpoint.name, local_files_only=True
                )
        except Exception as error:  # its reader raises whatever a wrong byte leads to
            raise ValueError(f"{checkpoint} cannot be read as GGUF: {error}; fetch it again") from error
        config = loaded.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        with torch.device("meta"):  # a fresh one around the same tensors: the loaded one refuses to be saved as plain
            network = AutoModelForCausalLM.from_config(config, dtype=torch.float16)
        network.load_state_dict(loaded.state_dict(), assign=True)
        network.tie_weights()
        network.generation_config = loaded.generation_config
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


@lru_cache(maxsize=1)  # building and parity want the same one
def load(folder: Path) -> PreTrainedModel:
    """The network of a folder in FP32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()


def _prompts(folder: Path, slot: Slot) -> str:
    """prompts.json; see `families.common.prompts`."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise ValueError(f"{folder} has no chat template; add chat_template.jinja to the checkpoint's folder")
    tokens = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return prompts.render(tokenizer.chat_template, tokens, slot)


def _run_builder(folder: Path, precision: str, provider: str, built: Path) -> None:
    """onnxruntime-genai's builder in a process of its own; it logs much and keeps gigabytes."""
    command: list[str | Path] = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", folder, "-o", built]
    command += ["-p", precision, "-e", provider, "-c", built / "cache"]
    # prune_lm_head: logits of the last position only; prefill needs no others and 27% of its work is saved
    command += ["--extra_options", "exclude_embeds=true", "prune_lm_head=true"]
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode < 0:
        raise BuildError(
            f"text_decoder: onnxruntime-genai's builder was killed by signal {-done.returncode}, which the system does "
            "when memory runs out (it takes eight bytes a weight: 12 GB for 1.5B); close other programs, export with "
            "--jobs 1, or take a smaller decoder (--recipe offline-small)"
        )
    if done.returncode:
        raise BuildError(f"onnxruntime-genai's builder failed on {folder}:\n{done.stderr[-2000:]}")


def _typical_runs(folder: Path, network: PreTrainedModel) -> Iterator[dict[str, np.ndarray]]:
    """Feeds of the graph: each of :data:`_CHATS` by the checkpoint's own chat template."""
    tokenizer, config = AutoTokenizer.from_pretrained(folder, local_files_only=True), network.config
    table = network.get_input_embeddings()
    nothing = np.zeros((1, config.num_key_value_heads, 0, _head_dim(config)), np.float32)
    past = {
        f"past_key_values.{n}.{part}": nothing for n in range(config.num_hidden_layers) for part in ("key", "value")
    }
    for question, answer in _CHATS:
        chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        encoded: Any = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)
        ids = encoded["input_ids"]
        with torch.no_grad():
            yield past | {"inputs_embeds": table(ids).numpy(), "attention_mask": np.ones(ids.shape, np.int64)}


def _head_dim(config: PretrainedConfig) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _shape(network: PreTrainedModel, slot: Slot) -> dict:
    """decoder.json: what `decoding.network.Shape` reads."""
    config, generation = network.config, network.generation_config
    ends = generation.eos_token_id if generation.eos_token_id is not None else config.eos_token_id
    if ends is None:
        raise ValueError("the checkpoint names no end-of-text token (eos_token_id); decoding would never end by itself")
    return {
        "layers": config.num_hidden_layers,
        "kv_heads": config.num_key_value_heads,
        "head_dim": _head_dim(config),
        "hidden": config.hidden_size,
        "vocabulary": config.vocab_size,
        "end_ids": [ends] if isinstance(ends, int) else list(ends),
        "max_length": min(int(slot.options.get("max_length", MAX_LENGTH)), config.max_position_embeddings),
        "precision": slot.precision,
    }


def parity(checkpoint: Path, slot: Slot, out: Path) -> list[dict]:
    """Teacher-forced logits of torch fp32 beside those of ``out/model.onnx``, at several batch sizes and lengths.

    The ONNX side reads each prompt in one pass and then the forced tokens one by one through its cache, as it is
    served; torch reads all of it at once.

    Returns:
        One row a case with ``max_abs`` and ``relative`` (L2 norm of the difference over that of torch's logits) and
        ``agreement`` (share of positions with the same best token); last, over all cases, ``top1_agreement``.

    Raises:
        ParityError: NaN or Inf in either.
    """
    folder = hub_folder(checkpoint, out)
    network, shape = load(folder), json.loads((out / "decoder.json").read_text())
    run = session(out / "model.onnx")
    table = np.load(out / "embeddings.npy", mmap_mode="r")
    text = np.asarray(Tokenizer.from_file(str(out / "tokenizer.json")).encode(_TEXT, add_special_tokens=False).ids)
    rows, same, seen = [], 0, 0
    for length in LENGTHS:
        sizes = batches(length == LENGTHS[1])
        ids = np.stack([np.resize(np.roll(text, -7 * row), length + FORCED) for row in range(max(sizes))])
        with torch.no_grad():
            every = network(torch.from_numpy(ids)).logits[:, length - 1 : -1].numpy()
        for batch in sizes:
            case, want = f"batch={batch} length={length}", every[:batch]
            have = _forced(run, shape, table[ids[:batch]].astype(np.float32), length)
            for name, logits in (("torch", want), ("ONNX", have)):
                if not np.isfinite(logits).all():
                    raise ParityError(f"text_decoder {case}: {name} gives NaN or Inf")
            hits = want.argmax(-1) == have.argmax(-1)
            same, seen = same + int(hits.sum()), seen + hits.size
            rows.append(
                {
                    "case": case,
                    "output": "logits",
                    "max_abs": float(np.abs(want - have).max()),
                    "relative": float(np.linalg.norm(want - have) / np.linalg.norm(want)),
                    "agreement": float(hits.mean()),
                }
            )
    return [*rows, {"case": f"all {seen} positions", "output": "logits", "top1_agreement": same / seen}]


def _forced(session: ort.InferenceSession, shape: dict, embeddings: np.ndarray, length: int) -> np.ndarray:
    """Logits FP32 [B, FORCED, vocabulary] after a prompt of `length` and each forced token but the last.

    Args:
        embeddings: FP32 [B, length + FORCED, hidden].
    """
    batch, total = embeddings.shape[:2]
    kinds = {given.name: given.type for given in session.get_inputs()}
    kind = np.float16 if kinds["inputs_embeds"] == "tensor(float16)" else np.float32
    past = {
        f"past_key_values.{layer}.{part}": np.zeros((batch, shape["kv_heads"], 0, shape["head_dim"]), kind)
        for layer in range(shape["layers"])
        for part in ("key", "value")
    }
    names = [output.name for output in session.get_outputs()]
    logits, begin = [], 0
    for end in range(length, total):
        feeds = {"inputs_embeds": np.ascontiguousarray(embeddings[:, begin:end], kind)}
        feeds |= past | {"attention_mask": np.ones((batch, end), np.int64)}
        answers = dict(zip(names, session.run(names, feeds), strict=True))
        logits.append(answers.pop("logits")[:, -1].astype(np.float32))
        past = {name.replace("present", "past_key_values"): value for name, value in answers.items()}
        begin = end
    return np.stack(logits, 1)


logging.getLogger("transformers.modeling_gguf_pytorch_utils").setLevel(logging.ERROR)
