"""Scripts through the served graph: the words are heard again, faults are typed, and phonemes may be missing."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
import torch
import tritonclient.grpc as triton
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
from vitrina_client import (
    AsyncVitrina,
    DeadlineExceeded,
    InvalidInput,
    NotReady,
    Product,
    QueueFull,
    Sampling,
    Timeout,
    TooLarge,
    Vitrina,
    VitrinaError,
    _command,
)

from export import build
from export.configs import ENSEMBLES_ROOT, MODELS_ROOT
from samples.demo import read_aloud
from server import Server, ServerOptions
from stages.audio import log_mel, read_audio
from stages.spoken import LOUDNESS, PEAK, loudness
from tests.spoken import recording

SCRIPT = "This red coffee mug holds twelve ounces of water. It costs $9.50, and the handle stays cool!"


@pytest.fixture(scope="module")
def spoken(request):
    """The server, where it can speak."""
    pytest.importorskip("piper", reason="`make speech` installs what phonemes come from")
    return request.getfixturevalue("server")


@pytest.fixture(params=["grpc", "http"])
def vitrina(request, spoken):
    with Vitrina(f"{request.param}://{getattr(spoken, f'{request.param}_url')}") as client:
        yield client


@pytest.fixture(scope="module")
def listen():
    """whisper-tiny.en: a file's bytes → the words in it."""
    from benchmarks.speech import WHISPER, WHISPER_SHA256, thirty_seconds
    from export.sources import fetch
    from networks.transcriber import Transcriber

    torch.set_num_threads(1)
    transcribe = Transcriber(fetch(WHISPER, WHISPER_SHA256))
    return lambda data: transcribe(log_mel(thirty_seconds(read_audio(data), 16_000)))


@pytest.mark.parametrize("audio_format", ["wav", "ogg"])
def test_the_words_are_heard_again(vitrina, listen, audio_format):
    speech = vitrina.speak(SCRIPT, audio_format=audio_format)
    assert speech.mime == f"audio/{audio_format}"
    normalise = EnglishTextNormalizer({})
    heard = listen(speech.audio)
    assert jiwer.wer(normalise(SCRIPT), normalise(heard)) <= 0.25, heard


@pytest.mark.parametrize(("audio_format", "coding"), [("wav", "PCM_16"), ("ogg", "VORBIS")])
def test_the_file_is_level_marked_and_as_long_as_it_says(vitrina, audio_format, coding):
    speech = vitrina.speak(SCRIPT, audio_format=audio_format)
    with soundfile.SoundFile(BytesIO(speech.audio)) as file:
        assert (file.format, file.subtype, file.channels, file.samplerate) == (audio_format.upper(), coding, 1, 22_050)
        assert "trainedAlgorithmicMedia" in file.comment
        samples = file.read(dtype="float32")
    assert speech.seconds == pytest.approx(len(samples) / 22_050, abs=0.001)
    assert 3 < speech.seconds < 12
    # Vorbis gives the samples back nearly: that is what the decibel below full scale is left for.
    assert np.abs(samples).max() <= (PEAK + 1e-4 if audio_format == "wav" else 1)
    assert loudness(samples, 22_050) == pytest.approx(LOUDNESS, abs=0.7)


def test_speed_shortens_it(vitrina):
    slow, own, fast = (vitrina.speak(SCRIPT, speed=speed).seconds for speed in (0.5, None, 2.0))
    assert slow > 1.5 * own > 1.5 * 1.5 * fast


async def test_asynchronous_calls_are_the_same(spoken):
    async with AsyncVitrina(f"grpc://{spoken.grpc_url}") as client:
        speech = await client.speak("A red mug.", audio_format="ogg")
    assert speech.audio.startswith(b"OggS") and speech.mime == "audio/ogg"


@pytest.mark.parametrize("suffix", ["wav", "ogg"])
def test_the_command_writes_the_file(spoken, tmp_path, capsys, suffix):
    path = tmp_path / "deep" / f"mug.{suffix}"
    words = ["speak", "--text", "A red mug.", "--speed", "1.2", "--out", str(path), "--url", spoken.grpc_url]
    assert _command.main(words) == 0
    assert soundfile.info(path).format == suffix.upper()
    assert f"mug.{suffix} (audio/{suffix}, " in capsys.readouterr().err.replace("\n", "")
    assert _command.main([*words, "--speed", "9"]) == 2
    assert "speak SPEED: 9 is outside 0.5 to 2" in capsys.readouterr().err


BAD = [
    ({"script": ""}, InvalidInput, "SCRIPT", "nothing that can be spoken"),
    ({"script": " \n\t"}, InvalidInput, "SCRIPT", "nothing that can be spoken"),
    ({"script": "...?! --- ,;"}, InvalidInput, "SCRIPT", "nothing that can be spoken"),
    ({"script": "😀🎉👍🏽"}, InvalidInput, "SCRIPT", "nothing that can be spoken"),
    ({"script": "\x00\x01\x1b"}, InvalidInput, "SCRIPT", "nothing that can be spoken"),
    ({"script": "红色的杯子"}, InvalidInput, "SCRIPT", "has '红' at character 0"),
    ({"script": "x" * 102_400}, TooLarge, "SCRIPT", "102,400 characters to speak, the limit is 2,000"),
    ({"script": "999,999,999,999 " * 120}, TooLarge, "SCRIPT", "phonemes, the limit is 4,000"),
    *(
        ({"script": "A mug.", "speed": speed}, InvalidInput, "SPEED", f"{speed:g} is outside 0.5 to 2")
        for speed in (0.0, -1.0, float("nan"), float("inf"), 1e30)
    ),
    ({"script": "A mug.", "audio_format": "mp3"}, InvalidInput, "AUDIO_FORMAT", "'mp3' is unknown; send wav or ogg"),
]


@pytest.mark.parametrize(("call", "error", "field", "said"), BAD)
def test_what_cannot_be_spoken_is_a_typed_error(vitrina, call, error, field, said):
    with pytest.raises(error) as caught:
        vitrina.speak(**call)
    assert caught.value.field == field and said in caught.value.message


def test_bad_scripts_do_no_harm_to_those_beside_them(spoken):
    def ask(call):
        with Vitrina(f"grpc://{spoken.grpc_url}") as client:
            try:
                return client.speak(**call).seconds
            except VitrinaError as error:
                return error.field

    good = [{"script": "A red mug."}] * 4
    calls = [call for pair in zip(good * 4, [bad for bad, *_ in BAD], strict=False) for call in pair]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, calls))
    assert answers[1::2] == [field for _, _, field, _ in BAD]
    assert all(0.5 < seconds < 3 for seconds in answers[::2])


def test_more_callers_than_the_queue_holds_all_get_an_answer_and_the_next_one_too(spoken):
    def ask(number):
        with Vitrina(f"grpc://{spoken.grpc_url}", retries=0, timeout=Timeout(total=5)) as client:
            try:
                return client.speak(f"A red mug, number {number}.").mime
            except VitrinaError as error:
                return type(error)

    with ThreadPoolExecutor(80) as pool:
        answers = set(pool.map(ask, range(80)))
    assert answers <= {"audio/wav", QueueFull, DeadlineExceeded} and "audio/wav" in answers
    with Vitrina(f"grpc://{spoken.grpc_url}") as client:
        assert client.speak("A red mug.").seconds < 3


def test_control_characters_and_emoji_are_not_spoken(vitrina, listen):
    heard = listen(vitrina.speak("\x00A red\x07 coffee mug\x1b for the whole family. 😀").audio).lower()
    assert "coffee mug" in heard and "family" in heard


def test_the_server_stops_at_the_deadline_by_itself(spoken):
    script, limit = (
        triton.InferInput(name, [1, 1], kind) for name, kind in (("SCRIPT", "BYTES"), ("TIMEOUT_MS", "INT32"))
    )
    script.set_data_from_numpy(np.array([[b"A long sentence about enamel mugs. " * 50]], object))
    limit.set_data_from_numpy(np.array([[300]], np.int32))
    with triton.InferenceServerClient(spoken.grpc_url) as client, pytest.raises(Exception, match="deadline_exceeded"):
        client.infer("speak", [script, limit], outputs=[triton.InferRequestedOutput("AUDIO")])


def test_without_phonemes_everything_is_ready_and_a_script_is_told_how_to_get_them(bundle, tmp_path, capsys):
    models, ensembles = tmp_path / "models", tmp_path / "ensembles"
    spoken = (
        "canary",
        "moderator",
        "text_encoder",
        "image_encoder",
        "synthesizer",
        "speech_decoder",
        "audio_optimizer",
    )
    for name in spoken:
        shutil.copytree(MODELS_ROOT / name, models / name, copy_function=lambda *paths: build.place(*map(Path, paths)))
    shutil.copytree(ENSEMBLES_ROOT / "speak", ensembles / "speak")
    adapter = models / "synthesizer" / "1" / "model.py"
    text = adapter.read_text("utf-8")
    adapter.unlink()
    adapter.write_text(f"import sys\nsys.modules['piper'] = None  # as where it is not installed\n{text}", "utf-8")
    options = ServerOptions(model_roots=[models, ensembles], http_port=0, grpc_port=0, metrics_port=0)
    with Server(options) as server:
        for url in (f"grpc://{server.grpc_url}", f"http://{server.http_url}"):
            with Vitrina(url) as client:
                assert client.status().ready
                with pytest.raises(NotReady, match=r"GPL-3\.0.*`make speech`") as caught:
                    client.speak("A red mug.")
                assert caught.value.field == "SCRIPT"
                with pytest.raises(InvalidInput):
                    client.speak("A red mug.", speed=9)
                assert read_aloud(client, "A red mug.") is None
    assert capsys.readouterr().out.count("not read aloud: speech needs piper-tts") == 2


NOTE = "Handmade in Portugal from recycled glass."


def of_the_note(text):
    """Whether a copy says something that only the note told it."""
    return any(word in text.lower() for word in ("recycled", "portug", "handmade", "hand-made"))


@pytest.fixture(scope="module")
def note(spoken):
    """A spoken note: the voice's own."""
    with Vitrina(f"grpc://{spoken.grpc_url}") as client:
        return recording(client, NOTE, "recycled glass")


def test_what_is_said_in_a_note_is_written_down_and_goes_into_the_copy(vitrina, note):
    carafe = Product("Water carafe, 1 litre", audio=note)
    sampling = Sampling(seed=7)
    made = vitrina.generate(carafe, want={"text", "transcript", "condition"}, sampling=sampling)
    assert of_the_note(made.transcript) and of_the_note(made.text)
    silent = replace(carafe, audio=None)
    assert not of_the_note(vitrina.generate(silent, want={"text"}, sampling=sampling).text)
    told = {"condition": made.condition, "transcript": NOTE}
    assert of_the_note(vitrina.generate(silent, want={"text"}, sampling=sampling, **told).text)


def test_a_note_goes_into_streams_variants_and_results(vitrina, note):
    carafe, sampling = Product("Water carafe, 1 litre", audio=note), Sampling(seed=7)
    assert of_the_note("".join(piece.text for piece in vitrina.stream(carafe, sampling=sampling)))
    made = vitrina.variants(carafe, 3, sampling=sampling, task="description")
    assert any(of_the_note(each.text) for each in made.listings)
    (result,) = vitrina.iter_results(carafe, {"text"}, sampling=sampling)
    assert of_the_note(result.value.text)


def test_a_spoken_title_names_the_product(vitrina):
    said = recording(vitrina, "Red leather handbag with a brass buckle.", "handbag")
    assert "handbag" in vitrina.generate(Product("", audio=said), sampling=Sampling(seed=7)).text.lower()
