"""The reference catalogue: real products of the Debian package sweethome3d-furniture, their names and rendered views.

Layout below ``<cache>/catalogue``: ``index.json`` (products, skipped ones, split), ``views/<key>/NN.jpg`` (rendered),
``views/<key>/icon.png`` (the library's own picture), ``turntables`` (see `training.catalogue.turntables`). Models and
pictures are CC0 or CC-BY 3.0; see ``weights/ATTRIBUTION.md``. ``training/data/split.json`` lists the products by split.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from training.catalogue.appearance import chinese
from training.common.files import cache_folder, fetch

PACKAGE = "sweethome3d-furniture"
VERSION = "1.8-1"
DEB = f"{PACKAGE}_{VERSION}_all.deb"
DEB_SHA256 = "3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668"

#: library → licence. Reallusion (people) is left out.
LIBRARIES = {
    "BlendSwap-CC-0": "CC0-1.0",
    "BlendSwap-CC-BY": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0-US",
    "Scopia": "CC-BY-3.0",
}

VIEWS = 12
#: The last views of each training product are never trained on.
HELD_OUT_VIEWS = 2
HELD_OUT_PRODUCTS_PERCENT = 15

#: Parts of a building and road markings: nothing a shop photographs.
NOT_PRODUCTS = re.compile(
    r"staircase|door$|window$|^(arrow|parking slot|pedestrian crossing|rail crossing"
    r"|rails|concrete sidewalk|bill |elevator|escalator|porch column|iron railing|pedestrian railing)|^(female|male)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Product:
    """One product of the catalogue. `key` names its folder; `rotation` is the model's 3x3 matrix, row by row.

    `colour` and `material` are words of `training.catalogue.appearance`, None where nothing tells.
    """

    id: str
    key: str
    library: str
    name: str
    name_zh: str | None
    category: str
    category_zh: str | None
    tags: list[str]
    creator: str
    licence: str
    model: str
    icon: str
    rotation: list[float] | None
    held_out: bool
    colour: str | None = None
    material: str | None = None

    @property
    def colour_zh(self) -> str | None:
        """The colour in Chinese."""
        return chinese(self.colour)

    @property
    def material_zh(self) -> str | None:
        """The material in Chinese."""
        return chinese(self.material)


def is_held_out(identifier: str) -> bool:
    """Whether a product is kept out of training: fixed by the hash of its id, so that it never moves."""
    return int(hashlib.sha256(identifier.encode()).hexdigest(), 16) % 100 < HELD_OUT_PRODUCTS_PERCENT


def read_properties(text: str) -> dict[str, str]:
    r"""Java properties (``\uXXXX`` escapes, ``key#number=value``) as a dict."""
    entries = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            entries[key.strip()] = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), value).strip()
    return entries


def _chinese(text: str | None) -> str | None:
    return text if text and re.search(r"[\u4e00-\u9fff]", text) else None


def read_library_folder(folder: Path, library: str) -> tuple[list[Product], list[dict[str, str]]]:
    """Products of one unpacked ``.sh3f`` library, and what was skipped with the reason."""
    english = read_properties((folder / "PluginFurnitureCatalog.properties").read_text(encoding="latin-1"))
    chinese = read_properties((folder / "PluginFurnitureCatalog_zh_CN.properties").read_text(encoding="latin-1"))
    products, skipped = [], []
    for field, name in english.items():
        if not field.startswith("name#"):
            continue
        number = field.removeprefix("name#")
        category = english[f"category#{number}"]
        identifier = english[f"id#{number}"]
        opening = english.get(f"doorOrWindow#{number}") == "true"
        if opening or NOT_PRODUCTS.search(name):
            skipped.append({"id": identifier, "name": name, "why": "part of a building, road marking or person"})
            continue
        rotation = english.get(f"modelRotation#{number}")
        products.append(
            Product(
                id=identifier,
                key=hashlib.sha256(identifier.encode()).hexdigest()[:12],
                library=library,
                name=name,
                name_zh=_chinese(chinese.get(field)),
                category=category,
                category_zh=_chinese(chinese.get(f"category#{number}")),
                tags=[
                    t.strip()
                    for t in english.get(f"tags#{number}", "").split(",")
                    if t.strip() not in ("", "Blend Swap")
                ],
                creator=english.get(f"creator#{number}", library),
                licence=LIBRARIES[library],
                model=english[f"model#{number}"].lstrip("/"),
                icon=english[f"icon#{number}"].lstrip("/"),
                rotation=[float(x) for x in rotation.split()] if rotation else None,
                held_out=is_held_out(identifier),
            )
        )
    return products, skipped


def catalogue_folder() -> Path:
    """Where the catalogue is built."""
    return cache_folder() / "catalogue"


def unpacked_libraries() -> Path:
    """Fetches and unpacks the Debian package; returns the folder with one unpacked folder per library."""
    deb = fetch(DEB, DEB_SHA256, ["apt-get", "download", f"{PACKAGE}={VERSION}"])
    folder = cache_folder() / "catalogue" / "libraries"
    if not (folder / ".complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", str(deb), str(folder / "deb")], check=True)
        for library in LIBRARIES:
            with zipfile.ZipFile(folder / f"deb/usr/share/sweethome3d/furniture/{library}.sh3f") as archive:
                archive.extractall(folder / library)
        (folder / ".complete").touch()
    return folder


def read_index() -> list[Product]:
    """Products of the built catalogue.

    Raises:
        FileNotFoundError: it was not built yet; says the command.
    """
    path = catalogue_folder() / "index.json"
    if not path.exists():
        raise FileNotFoundError(f"no catalogue at {path}; build it with `python -m training catalogue`")
    return [Product(**p) for p in json.loads(path.read_text())["products"]]


def write_index(products: list[Product], skipped: list[dict[str, str]]) -> Path:
    """Writes ``index.json``, sorted by id."""
    path = catalogue_folder() / "index.json"
    content = {
        "source": {"package": PACKAGE, "version": VERSION, "sha256": DEB_SHA256},
        "products": [asdict(p) for p in sorted(products, key=lambda p: p.id)],
        "skipped": sorted(skipped, key=lambda s: s["id"]),
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    return path
