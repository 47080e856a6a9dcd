"""Sonic logos of 2.5 s, synthesised: the category of a product sets the mood, its colour the shade, a seed the tune.

A mood fixes scale, tempo, register, rhythms, instrument and room. Instruments are additive (organ, bell, glass), FM
(electric piano; Chowning 1973, J. AES 21(7)) and plucked (Karplus & Strong 1983, CMJ 7(2)). A colour moves the register
and how bright the partials are. The tune is a motif of the mood, turned and transposed by the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, lfilter

from training.behavior.sessions import COLOURS, colour
from training.catalogue.products import Product

RATE = 16_000
SAMPLES = 40_000
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
PENTATONIC, LYDIAN, DORIAN = (0, 2, 4, 7, 9), (0, 2, 4, 6, 7, 9, 11), (0, 2, 3, 5, 7, 9, 10)
WHOLE = (0, 2, 4, 6, 8, 10)


@dataclass(frozen=True)
class Mood:
    """`root` as a MIDI note; `beat` seconds; `motifs` of scale degrees; `chord` at the end; `room` seconds of echo."""

    scale: tuple[int, ...]
    root: int
    beat: float
    instrument: str
    motifs: tuple[tuple[int, ...], ...]
    chord: bool
    room: float


MOODS: dict[str, Mood] = {
    "cosy": Mood(MAJOR, 60, 0.30, "piano", ((0, 2, 4), (4, 2, 0), (0, 4, 2, 0), (2, 4, 5)), True, 0.5),
    "dreamy": Mood(LYDIAN, 65, 0.42, "glass", ((0, 3, 6), (4, 3, 0), (0, 4, 6), (6, 4, 3)), False, 1.4),
    "fresh": Mood(PENTATONIC, 72, 0.16, "pluck", ((0, 2, 4, 5, 7), (7, 5, 4, 2), (0, 4, 5, 7)), False, 0.3),
    "clear": Mood(WHOLE, 74, 0.24, "bell", ((0, 2, 4), (5, 3, 1), (0, 3, 5, 6)), False, 1.0),
    "open": Mood(MAJOR, 55, 0.28, "organ", ((0, 4, 7), (0, 2, 4, 7), (7, 4, 0)), True, 0.9),
    "sober": Mood(DORIAN, 57, 0.22, "piano", ((0, 4), (0, 0, 4), (4, 3, 0)), False, 0.2),
    "bold": Mood(MINOR, 53, 0.14, "organ", ((0, 0, 4, 7), (0, 2, 4, 2, 0), (7, 4, 2, 0)), True, 0.2),
    "playful": Mood(PENTATONIC, 67, 0.13, "bell", ((0, 4, 2, 5, 4, 7), (7, 2, 5, 0, 4), (0, 7, 0, 7, 5)), False, 0.3),
}
#: Category of the catalogue → mood.
MOOD_OF = {
    "Living room": "cosy",
    "Bedroom": "dreamy",
    "Kitchen": "fresh",
    "Bathroom": "clear",
    "Lights": "clear",
    "Exterior": "open",
    "Doors and windows": "open",
    "Office": "sober",
    "Vehicles": "bold",
    "Miscellaneous": "sober",
    "Characters": "playful",
}
#: Toys and games play, wherever the catalogue put them.
PLAYFUL = ("toy", "game", "kid", "children", "baby", "sport")
#: Colour → (semitones up, brightness of the partials).
SHADE = {
    "black": (-5, 0.6),
    "white": (5, 1.2),
    "grey": (0, 0.8),
    "brown": (-3, 0.7),
    "red": (0, 1.5),
    "yellow": (4, 1.5),
    "green": (2, 1.0),
    "blue": (-1, 0.9),
}


def mood_of(product: Product) -> str:
    """The name of a product's mood."""
    words = " ".join([product.name, *product.tags]).lower()
    return "playful" if any(word in words for word in PLAYFUL) else MOOD_OF[product.category]


def colour_of(product: Product) -> str:
    """The name of its colour."""
    return COLOURS[colour(product)]


def _envelope(count: int, attack: float, fall: float) -> NDArray[np.float64]:
    t = np.arange(count) / RATE
    return np.minimum(t / attack, 1) * np.exp(-t / fall)


def note(instrument: str, midi: float, seconds: float, brightness: float, rng: np.random.Generator) -> NDArray:
    """One tone [seconds * RATE], its loudest sample about one."""
    count = int(seconds * RATE)
    t = np.arange(count) / RATE
    frequency = 440 * 2 ** ((midi - 69) / 12)
    if instrument == "pluck":
        period = RATE / frequency
        burst = np.zeros(count)
        noise = rng.uniform(-1, 1, int(period))
        burst[: int(period)] = noise - noise.mean()  # the loop would keep a constant
        burst = lfilter([1 - 0.5 / (1 + brightness)], [1, -0.5 / (1 + brightness)], burst)
        whole = int(period - 0.5)
        part = period - 0.5 - whole
        feedback = np.zeros(whole + 3)
        # A two-point mean in the loop, with a fractional delay so that the pitch is right.
        feedback[0] = 1
        feedback[whole : whole + 3] -= 0.497 * np.convolve([1, 1], [1 - part, part])
        tone = lfilter([1], feedback, burst)
        return tone / max(np.abs(tone).max(), 1e-9) * np.minimum(1, (count - np.arange(count)) / 400)
    if instrument == "piano":
        index = 1.8 * brightness * np.exp(-t / 0.25)
        tone = np.sin(2 * np.pi * frequency * t + index * np.sin(2 * np.pi * frequency * t))
        return tone * _envelope(count, 0.004, 0.55)
    partials, fall, attack = {
        "organ": (((1, 1), (2, 0.5), (3, 0.35), (4, 0.2), (6, 0.12), (8, 0.08)), 1.2, 0.03),
        "bell": (((1, 1), (2, 0.6), (3, 0.35), (4.2, 0.3), (5.4, 0.2)), 0.5, 0.002),
        "glass": (((1, 1), (2, 0.15), (3, 0.1), (4, 0.06)), 1.6, 0.12),
    }[instrument]
    tone = np.zeros(count)
    for order, (multiple, level) in enumerate(partials):
        if frequency * multiple < 0.45 * RATE:
            level *= brightness**order
            decay = fall if instrument == "organ" else fall / multiple**0.5
            tone += level * np.sin(2 * np.pi * frequency * multiple * t) * _envelope(count, attack, decay)
    return tone / sum(level for _, level in partials)


def jingle(mood: str, shade: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """float32 [SAMPLES], at most 0.9 loud."""
    m = MOODS[mood]
    lift, brightness = SHADE[shade]
    motif = m.motifs[rng.integers(len(m.motifs))]
    root = m.root + lift + int(rng.choice([-2, 0, 2]))
    brightness *= rng.uniform(0.9, 1.1)
    beat = m.beat * rng.uniform(0.95, 1.05)
    dry = np.zeros(SAMPLES)
    pitches = [root + m.scale[d % len(m.scale)] + 12 * (d // len(m.scale)) for d in motif]
    for place, pitch in enumerate(pitches):
        start = int((0.02 + place * beat) * RATE)
        last = place == len(pitches) - 1
        chord = [pitch, root + m.scale[2], root + m.scale[4 % len(m.scale)]] if last and m.chord else [pitch]
        for voice in chord:
            tone = note(m.instrument, voice, 1.6 if last else min(2.5 * beat, 1.2), brightness, rng)
            tone = tone[: SAMPLES - start]
            dry[start : start + len(tone)] += tone / len(chord) ** 0.5
    echo = rng.standard_normal(int(m.room * RATE)) * np.exp(-6 * np.arange(int(m.room * RATE)) / (m.room * RATE))
    wet = fftconvolve(dry, echo / np.sqrt((echo**2).sum()))[:SAMPLES]
    mixed = dry + 0.25 * m.room**0.5 * wet
    mixed *= np.minimum(1, (SAMPLES - np.arange(SAMPLES)) / (0.3 * RATE))  # to silence at the end
    return (0.9 * mixed / max(np.abs(mixed).max(), 1e-9)).astype(np.float32)


def of_product(product: Product, number: int) -> NDArray[np.float32]:
    """The jingle of a product with that number, always the same."""
    return jingle(mood_of(product), colour_of(product), np.random.default_rng([int(product.key, 16), number]))
