"""Real photos, of which nothing was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import skimage
import yaml

from training.common.files import DATA, REPOSITORY

PHOTOS = DATA / "photos.yaml"


def photos() -> list[dict[str, Any]]:
    """The real photos: `name`, `source` as listed, `path`, `accepted` words."""
    folders = {"skimage": Path(skimage.__file__).parent / "data"}
    found = []
    for entry in yaml.safe_load(PHOTOS.read_text()):
        place, _, name = entry["photo"].rpartition(":")
        path = folders[place] / name if place else REPOSITORY / name
        found.append({"name": path.name, "source": entry["photo"], "path": path, "accepted": entry["accepted"]})
    return found
