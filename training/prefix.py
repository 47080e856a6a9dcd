"""Trains the soft prefix, and judges it beside words in the prompt.

The prefix stands where a prompt has the product's name. First it learns the embeddings of the name's own tokens; then
whatever makes the frozen decoder write the copy that it writes for that name. It learns from the catalogue's pictures
with a title that says nothing, and from the vocabulary's words as titles.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache

from decoding.engine import Engine
from decoding.request import Handle
from decoding.sampling import Sampling
from export.recipe import load as load_recipe
from export.slots import text_decoder
from export.sources import fetch
from networks.fusion import Fusion
from networks.soft_prefix import VECTORS, SoftPrefix, rows_of
from stages import prompts
from stages.tags import TagTable, tags
from training.catalogue import Product
from training.encoders import MODELS, ImageEncoder, TextEncoder, fit
from training.features import TRAINED_ROWS, Features, join, read
from training.fusion import text_only
from training.recall import run, with_title
from training.steps import Plan
from training.steps import run as run_steps
from training.texts import embed

DECODER = MODELS / "text_decoder" / "1"
NEUTRAL = "product"
#: Tokens of a copy that are learned: the name is among the first.
COPY = 24
NAMES_PLAN = Plan(steps=1500, batch=128, rate=1e-3)
COPIES_PLAN = Plan(steps=160, batch=12, rate=3e-4)
#: How sharp the choice among tokens is while names are learned.
SHARPNESS = 20.0
#: Share of samples that are words of the vocabulary, not pictures.
WORDS_SHARE = 0.3
_MARK = "SOFTPREFIX"


def prompt(name: str, tags: tuple[str, ...] = (), scores: tuple[float, ...] = ()) -> str:
    """The served prompt of the task that is judged, a description in English."""
    request = prompts.Request(title=name, tags=tags, scores=scores)
    return prompts.render(prompts.messages(request), (DECODER / "chat_template.jinja").read_text())


def around() -> tuple[str, str]:
    """The prompt before and after the name."""
    before, after = prompt(_MARK).split(_MARK)
    return before.removesuffix(" "), after  # a name's first token has the space in it


def settings() -> dict[str, Any]:
    """Greedy, with what suits the task: one bundle always gives the same copies."""
    penalty = prompts.sampling(prompts.DEFAULT_TASK)["repetition_penalty"]
    return {"sampling": Sampling(repetition_penalty=penalty)}


def conditions(features: Features, fusion: Fusion, encoder: TextEncoder) -> Tensor:
    """[n, 3, 384]: the rows that count, of pictures beside a title that says nothing."""
    nothing = torch.from_numpy(embed([NEUTRAL], encoder)).expand(len(features), -1)
    return rows_of(run(fusion, with_title(nothing, features))[0])


@dataclass
class Data:
    """`pictures` [n, 3, 384] with the place of each one's name, `words` [m, 3, 384], `names` [k] of both."""

    pictures: Tensor
    name_of: np.ndarray
    words: Tensor
    names: list[str]
    ids: list[list[int]]
    copies: list[list[int]]

    @classmethod
    def read(cls, products: list[Product], fusion: Fusion, encoder: TextEncoder) -> Data:
        """Of products that are trained on what may be trained on, and every word of the tagger's vocabulary."""
        kept = [p for p in products if not p.held_out]
        words = list(TagTable.load(MODELS / "tagger" / "1" / "tags.npz").words)
        names = [*words, *sorted({p.name.lower() for p in kept} - set(words))]
        pictures = conditions(join([read(p)[TRAINED_ROWS] for p in kept]), fusion, encoder)
        name_of = np.array([names.index(p.name.lower()) for p in kept]).repeat(len(TRAINED_ROWS))
        _, tokenizer = decoder()
        ids = [tokenizer(" " + name, add_special_tokens=False)["input_ids"][:VECTORS] for name in names]
        return cls(
            pictures, name_of, rows_of(run(fusion, text_only(torch.from_numpy(embed(words, encoder))))[0]), names, ids,
            write_copies(names),
        )  # fmt: skip

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, np.ndarray]:
        """Rows of so many samples, and the name of each."""
        words = rng.integers(len(self.words), size=int(count * WORDS_SHARE))
        pictures = rng.integers(len(self.pictures), size=count - len(words))
        rows = torch.cat([self.words[words], self.pictures[pictures]])
        return rows, np.concatenate([words, self.name_of[pictures]])


@cache
def decoder() -> tuple[nn.Module, Any]:
    """The recipe's text decoder, frozen, and its tokenizer."""
    slot = load_recipe("offline").slot("text_decoder")
    checkpoint = fetch(slot.source, slot.sha256)
    return text_decoder.load(checkpoint).requires_grad_(False), text_decoder.tokenizer_of(checkpoint)


def write_copies(names: list[str]) -> list[list[int]]:
    """What the served decoder writes for each name, the first tokens of it."""
    engine = Engine(DECODER, max_queue=len(names))
    handles = [engine.submit(engine.request(prompt(name), max_tokens=COPY, **settings())) for name in names]
    copies = [list(handle.result().ids) for handle in track(handles, "writing copies")]
    engine.close()
    return copies


def names_loss(data: Data) -> Callable[[nn.Module, np.random.Generator, torch.device], dict[str, Tensor]]:
    """Each vector is to be nearest to a token of the name, among all tokens of all names; a full stop fills up."""
    network, tokenizer = decoder()
    filler = tokenizer(".", add_special_tokens=False)["input_ids"]
    wanted = torch.tensor([(ids + filler * VECTORS)[:VECTORS] for ids in data.ids])
    tokens, places = wanted.unique(return_inverse=True)
    table = network.get_input_embeddings().weight[tokens]

    def losses(prefix: nn.Module, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        rows, names = data.draw(rng, NAMES_PLAN.batch)
        made, target = prefix(rows.to(device)), places[names].to(device)
        alike = F.normalize(made, dim=-1) @ F.normalize(table, dim=-1).to(device).T
        apart = F.mse_loss(made, table.to(device)[target]) / table.var()
        return {"tokens": F.cross_entropy(SHARPNESS * alike.flatten(0, 1), target.flatten()), "apart": apart}

    return losses


def copies_loss(data: Data) -> Callable[[nn.Module, np.random.Generator, torch.device], dict[str, Tensor]]:
    """Cross entropy of the copy that the name would have; what stands before it in the prompt is read once."""
    network, tokenizer = decoder()
    before, after = (torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]]) for text in around())
    with torch.no_grad():
        read_before = [(x.keys, x.values) for x in network(before, use_cache=True).past_key_values.layers]
    embed_tokens = network.get_input_embeddings()
    longest = max(map(len, data.copies))
    copies = torch.tensor([copy + [-100] * (longest - len(copy)) for copy in data.copies])

    def losses(prefix: nn.Module, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        rows, names = data.draw(rng, COPIES_PLAN.batch)
        target = copies[names].to(device)
        made = prefix(rows.to(device))
        network.to(device)
        count = len(made)
        rest = torch.cat([embed_tokens(after.to(device)).expand(count, -1, -1), embed_tokens(target.clamp(min=0))], 1)
        past = DynamicCache([tuple(x.to(device).expand(count, -1, -1, -1) for x in layer) for layer in read_before])
        seen = torch.cat([made, rest], 1)
        said = network(inputs_embeds=seen, past_key_values=past, logits_to_keep=longest + 1).logits
        return {"copy": F.cross_entropy(said[:, :-1].flatten(0, 1), target.flatten(), ignore_index=-100)}

    return losses


def train(data: Data, folder: Path, report: Callable[[int, str], None]) -> SoftPrefix:
    """Names, then copies; goes on from what lies in `folder`."""
    network, _ = decoder()
    torch.manual_seed(NAMES_PLAN.seed)
    prefix = SoftPrefix(network.config.hidden_size)
    named = folder / "prefix-names.pt"
    if not named.exists():
        prefix = run_steps(prefix, names_loss(data), NAMES_PLAN, folder / "prefix-names-run.pt", report)
        torch.save(prefix.state_dict(), named)
    prefix.load_state_dict(torch.load(named, weights_only=True))

    def after(step: int, said: str) -> None:
        report(NAMES_PLAN.steps + step, said)

    prefix = run_steps(prefix, copies_loss(data), COPIES_PLAN, folder / "prefix-copies-run.pt", after)
    named.unlink()
    return prefix


# ---------------------------------------------------------------------------------------------------------- judging


def judge(prefix: SoftPrefix, fusion: Fusion, encoder: TextEncoder) -> dict[str, dict[str, float]]:
    """Way → set of pictures → share of copies that name the product or its category, the title saying nothing.

    The pictures and what counts as naming are those of `benchmarks.photo_matters`.
    """
    from benchmarks.photo_matters import DATA, picture
    from benchmarks.photo_matters import judge as judge_copy

    entries = json.loads((DATA / "index.json").read_text(encoding="utf-8"))
    images, engine = ImageEncoder(2), Engine(DECODER, max_queue=2 * len(entries))
    table = TagTable.load(MODELS / "tagger" / "1" / "tags.npz")
    before, after = around()
    _, tokenizer = decoder()
    head = np.load(DECODER / "embeddings.npy", mmap_mode="r")[tokenizer(before, add_special_tokens=False)["input_ids"]]
    handles: dict[str, list[Handle]] = {"words": [], "soft prefix": []}
    for entry in track(entries, "encoding"):
        with Image.open(io.BytesIO(picture(entry))) as photo:
            features = Features(*(x.astype(np.float16) for x in images(fit(photo)[None])))
        nothing = torch.from_numpy(embed([NEUTRAL], encoder))
        condition, _ = run(fusion, with_title(nothing, features))
        words, scores = tags(condition[0].numpy(), table)
        request = engine.request(prompt(NEUTRAL, tuple(filter(None, words)), tuple(scores)), **settings())
        handles["words"].append(engine.submit(request))
        with torch.inference_mode():
            soft = prefix(rows_of(condition))[0].numpy()
        handles["soft prefix"].append(
            engine.submit(engine.request(after, prefix=np.concatenate([head, soft]), **settings()))
        )
    found: dict[str, dict[str, float]] = {}
    for way, its in handles.items():
        judged = [judge_copy(entry, handle.result().text, []) for entry, handle in zip(entries, its, strict=True)]
        for held in dict.fromkeys(entry["set"] for entry in entries):
            rows = [j["copy_names_or_category"] for j in judged if j["set"] == held]
            found.setdefault(way, {})[held] = sum(rows) / len(rows)
    engine.close()
    return found
