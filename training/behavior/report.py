"""Everything that `python -m training behavior` does: simulate, train with the ablations, evaluate, write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from networks.behavior_encoder import BehaviorEncoder
from training.behavior import encoder as behavior
from training.behavior import sessions
from training.behavior.encoder import FOLDER, PLAN, SHOPPERS, TESTED, World, fingerprint
from training.behavior.evaluation import RULES, Cases, RecurrentEncoder, Rules, compare, encode
from training.common.figures import MACHINE, markdown, template
from training.common.files import cache_folder
from training.common.weights import restore, save

SERVED = "transformer"
#: The served network and what it is compared with: (network, what of the data is changed).
VARIANTS: dict[str, tuple[type[BehaviorEncoder], dict[str, Any]]] = {
    SERVED: (BehaviorEncoder, {}),
    "GRU in its place": (RecurrentEncoder, {}),
    "without kinds": (BehaviorEncoder, {"kinds": False}),
    "without times": (BehaviorEncoder, {"times": False}),
    "names only, no pictures": (BehaviorEncoder, {"items": "names"}),
}


def trained(name: str, world: World, report: Callable[[int, str], None]) -> tuple[BehaviorEncoder, float]:
    """A variant, trained unless the cache has it, and the seconds that its training took (since it last went on)."""
    kind, changes = VARIANTS[name]
    slug = name.replace(" ", "-").replace(",", "")
    path = cache_folder() / "training" / f"behavior-{slug}-{fingerprint()}.safetensors"
    if not path.exists():
        torch.manual_seed(PLAN.seed)
        started = time.perf_counter()
        network = behavior.train(kind(), world.data(**changes), path.with_suffix(".pt"), report)
        save(network, path, {"steps": str(PLAN.steps), "seconds": f"{time.perf_counter() - started:.0f}"})
    with safe_open(path, "pt") as file:
        seconds = float(file.metadata()["seconds"])
    return restore(kind(), path), seconds


def evaluate(networks: dict[str, BehaviorEncoder], world: World) -> dict[str, Any]:
    """test → set → method → figures."""
    rules = Rules(world.items, world.training)
    results = {}
    for test, histories in world.tests.items():
        cases = Cases.create(histories)
        scores = {name: rule(rules, cases) for name, rule in RULES.items()}
        for name, network in networks.items():
            data = world.data(**VARIANTS[name][1])
            scores[name] = (encode(network, data, histories, cases.ends)[0] @ data.items[:, 0].T).numpy()
        served = networks[SERVED]
        data, names = world.data(), world.data(items="names")
        tokens = encode(served, data, histories, cases.ends)[1]
        at_once = encode(served, data, histories, cases.ends, 0.0)[0]
        swapped = encode(served, names, histories, cases.ends)[0]
        scores[f"{SERVED}, asked at once"] = (at_once @ data.items[:, 0].T).numpy()
        scores[f"{SERVED}, given names' embeddings"] = (swapped @ names.items[:, 0].T).numpy()
        scores[f"{SERVED}, nearest of its tokens"] = (tokens @ data.items[:, 0].T).amax(1).numpy()
        results[test] = compare(cases, scores, world.held_out)
    return results


def write(network: BehaviorEncoder, results: dict[str, Any], world: World, seconds: float) -> Path:
    """Weights, index of the items, figures and card."""
    save(network, FOLDER / "model.safetensors", {"steps": str(PLAN.steps)})
    ids, titles = (np.array([getattr(p, name) for p in world.products]) for name in ("id", "name"))
    embeddings = world.items[:, 0].astype(np.float16)
    np.savez_compressed(FOLDER / "items.npz", ids=ids, titles=titles, embeddings=embeddings)
    settings = {"steps": PLAN.steps, "batch": PLAN.batch, "learning rate": PLAN.rate, "seed": PLAN.seed}
    simulated = {
        "shoppers": {"training": SHOPPERS, "test": TESTED, "test with held-out products": TESTED},
        "training events": len(world.training.items),
        "seed": sessions.SEED,
    }
    metrics = {"figures": results, "settings": settings, "simulation": simulated}
    (FOLDER / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    (FOLDER / "README.md").write_text(card(results, world, network, seconds))
    return FOLDER


def table(results: dict[str, Any]) -> str:
    """Methods by rows, tests by columns."""
    columns = [(test, part, found) for test, parts in results.items() for part, found in parts.items()]
    head = ["method", *(f"{test}: {part} ({found['cases']})" for test, part, found in columns)]
    rows = []
    for method in columns[0][2]["methods"]:
        cells = [found["methods"][method] for _, _, found in columns]
        rows.append([method, *(f"{c['hit@10']:.3f} / {c['ndcg@10']:.3f}" for c in cells)])
    return markdown(head, rows)


def card(results: dict[str, Any], world: World, network: BehaviorEncoder, seconds: float) -> str:
    """The model card."""
    return template("behavior_card").format(
        parameters=sum(p.numel() for p in network.parameters()) / 1e6,
        shoppers=SHOPPERS,
        tested=TESTED,
        events=len(world.training.items),
        products=len(world.products),
        held_out=int(world.held_out.sum()),
        steps=PLAN.steps,
        batch=PLAN.batch,
        seconds=seconds,
        machine=MACHINE,
        table=table(results),
    )
