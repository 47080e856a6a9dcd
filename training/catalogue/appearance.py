"""Words for how a product looks: its main colour and its material, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

#: Colour word → Chinese, and the sRGB values that stand for it.
COLOURS: dict[str, tuple[str, tuple[str, ...]]] = {
    "white": ("白色", ("ffffff", "ececec", "d6d6d6", "f2efe6")),
    "grey": ("灰色", ("b4b4b4", "8c8c8c", "666666", "9aa0a6")),
    "black": ("黑色", ("000000", "1c1c1c", "303030")),
    "red": ("红色", ("d01818", "a01414", "e04038", "6e1010")),
    "orange": ("橙色", ("f08020", "d86818")),
    "yellow": ("黄色", ("f4d820", "e8c030", "f0e070")),
    "green": ("绿色", ("30a030", "186018", "70b060", "6b7a2a", "90d090", "2e4a2e")),
    "turquoise": ("青绿色", ("30b0a8", "80d0d0", "1a6a70")),
    "blue": ("蓝色", ("2050c0", "1010d0", "102860", "5090e0", "a0c0e8", "4a6080")),
    "purple": ("紫色", ("7030a0", "a070c0", "402060")),
    "pink": ("粉色", ("f090b0", "e050a0", "f4c4cc")),
    "brown": ("棕色", ("7a4a24", "5a3418", "a06a3a", "3c2414", "8a5a44")),
    "beige": ("米色", ("e0ceac", "c8b088", "d8c4b0", "b89c78")),
}
#: Material word → Chinese, and what names it in products, materials and texture files (in the libraries' languages).
MATERIALS: dict[str, tuple[str, str]] = {
    "wooden": (
        "木质",
        r"wood|walnut|oak(?!um)|pine(?!apple)|teak|mahogany|bamboo|parquet|planks?\b|madera|\bbois\b|fusta",
    ),
    "leather": ("皮革", r"leather|cuero|\bcuir\b"),
    "fabric": (
        "布艺",
        r"fabric|cloth|textile|cotton|linen|wool|velvet|denim|carpet|cushion|cosin|mattress|pillow|tela\b|tejido|blanket",
    ),
    "wicker": ("藤编", r"wicker|rattan|mimbre"),
    "glass": ("玻璃", r"glass(?!es)|cristal|\bverre\b|vidrio|vidre"),
    "metal": (
        "金属",
        r"metal|chrome|steel|iron(?!ing)|alumin|brass|copper|\bgold|silver|\binox|\bacero|bronze|\bzinc",
    ),
    "plastic": ("塑料", r"plastic|pvc|acrylic"),
    "ceramic": ("陶瓷", r"ceramic|porcelain|pottery|terracotta|porcelana"),
    "marble": ("大理石", r"marble|marmol|granite"),
    "stone": ("石质", r"\bstone|concrete|\brock\b|piedra"),
    "rubber": ("橡胶", r"rubber"),
    "paper": ("纸质", r"\bpaper(?! basket)|cardboard"),
}
#: Less of what is seen than this is not worth naming.
LEAST_COLOUR, LEAST_MATERIAL = 0.3, 0.3
#: People name the colour of a chair, not of its grey legs.
CHROMATIC_WEIGHT = 1.4
MOST_COLOURS = 64
_NEUTRAL = ("white", "grey", "black")

_NAMES = [name for name, (_, samples) in COLOURS.items() for _ in samples]
_SAMPLES = np.array(
    [[int(sample[i : i + 2], 16) / 255 for i in (0, 2, 4)] for _, samples in COLOURS.values() for sample in samples]
)


def colour_names(colours: NDArray[np.floating]) -> list[str]:
    """The word for each sRGB colour [n, 3] in 0..1: the nearest sample in CIELAB."""
    lab, samples = rgb2lab(colours.reshape(-1, 1, 3))[:, 0], rgb2lab(_SAMPLES[:, None])[:, 0]
    difference = lab[:, None] - samples[None]
    # Lightness says less than hue about which word fits.
    distance = (difference**2 * np.array([0.5, 1, 1])).sum(-1)
    return [_NAMES[i] for i in distance.argmin(1)]


def main_colours(base: NDArray[np.float32], opacity: NDArray[np.float32]) -> list[list[float]]:
    """The colours that take most of what is seen: rows of red, green, blue in 0..1 and the share of all.

    Args:
        base: [n, 3] in 0..1, a product's own colours without light, times `opacity`.
        opacity: [n] in 0..1.
    """
    seen = opacity > 0.05
    if not seen.any():
        return []
    weights = opacity[seen]
    # 16 levels a channel: thousands of pixels, some dozens of colours.
    levels = ((base[seen] / weights[:, None]).clip(0, 1) * 15).round().astype(np.int64)
    codes, inverse = np.unique(levels @ np.array([256, 16, 1]), return_inverse=True)
    shares = np.bincount(inverse, weights) / weights.sum()
    most = np.argsort(-shares, kind="stable")[:MOST_COLOURS]
    colours = np.stack([codes // 256, codes // 16 % 16, codes % 16], 1)[most] / 15
    return [
        [*(round(float(c), 4) for c in colour), round(float(shares[i]), 4)]
        for i, colour in zip(most, colours, strict=True)
    ]


def colour_of(colours: list[list[float]]) -> str | None:
    """The word for a product's main colour, "multicoloured" where none prevails, None where nothing is seen.

    Args:
        colours: as :func:`main_colours` gives them.
    """
    if not colours:
        return None
    table = np.array(colours)
    shares: dict[str, float] = dict.fromkeys(COLOURS, 0.0)
    for name, share in zip(colour_names(table[:, :3]), table[:, 3], strict=True):
        shares[name] += float(share) * (1 if name in _NEUTRAL else CHROMATIC_WEIGHT)
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] >= LEAST_COLOUR * sum(shares.values()) else "multicoloured"


def material_of(words: str, shown: Mapping[str, float]) -> str | None:
    """The word for what a product is made of, None where nothing says it.

    Args:
        words: the product's name and tags, which are believed first.
        shown: the model's material names → how much of them is seen.
    """
    for word, (_, pattern) in MATERIALS.items():
        if re.search(rf"\b(?:{word}|{pattern})\b", words, re.IGNORECASE):
            return word
    total = sum(shown.values())
    shares = {
        word: sum(share for name, share in shown.items() if re.search(pattern, _spaced(name), re.IGNORECASE))
        for word, (_, pattern) in MATERIALS.items()
    }
    best = max(shares, key=shares.__getitem__)
    return best if total > 0 and shares[best] >= LEAST_MATERIAL * total else None


def _spaced(name: str) -> str:
    """``blackMetal_2`` as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[_\W\d]+", " ", name)


def chinese(word: str | None) -> str | None:
    """The Chinese word for a colour or a material."""
    if word is None or word == "multicoloured":
        return word and "彩色"
    return (COLOURS.get(word) or MATERIALS[word])[0]
