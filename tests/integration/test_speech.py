"""Scripts through the served graph, in English and Chinese: the words are heard again, and faults are typed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

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
    Product,
    QueueFull,
    Sampling,
    Timeout,
    TooLarge,
    Vitrina,
    VitrinaError,
    _command,
)

from benchmarks.hearing import errors
from stages.audio import read_audio
from stages.spoken import LOUDNESS, PEAK, loudness
from tests.spoken import recording

SCRIPT = "This red coffee mug holds twelve ounces of water. It costs $9.50, and the handle stays cool!"


@pytest.fixture(params=["grpc", "http"])
def vitrina(request, server):
    with Vitrina(f"{request.param}://{getattr(server, f'{request.param}_url')}") as client:
        yield client


@pytest.fixture(scope="module")
def listen():
    """whisper-tiny.en: a file's bytes → the words in it."""
    from benchmarks.speech import listener

    torch.set_num_threads(1)
    transcribe = listener("en", 1)
    return lambda data: transcribe(read_audio(data))


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


async def test_asynchronous_calls_are_the_same(server):
    async with AsyncVitrina(f"grpc://{server.grpc_url}") as client:
        speech = await client.speak("A red mug.", audio_format="ogg")
    assert speech.audio.startswith(b"OggS") and speech.mime == "audio/ogg"


@pytest.mark.parametrize("suffix", ["wav", "ogg"])
def test_the_command_writes_the_file(server, tmp_path, capsys, suffix):
    path = tmp_path / "deep" / f"mug.{suffix}"
    words = ["speak", "--text", "A red mug.", "--speed", "1.2", "--out", str(path), "--url", server.grpc_url]
    assert _command.main(words) == 0
    assert soundfile.info(path).format == suffix.upper()
    assert f"mug.{suffix} (audio/{suffix}, " in capsys.readouterr().err.replace("\n", "")
    assert _command.main([*words, "--speed", "9"]) == 2
    assert "speak SPEED: 9 is outside 0.5 to 2" in capsys.readouterr().err


SCRIPT_ZH = "这款陶瓷马克杯容量350ml，可进微波炉，售价¥89。"


def test_chinese_is_heard_again_in_its_own_voice(vitrina):
    speech = vitrina.speak(SCRIPT_ZH)
    assert soundfile.info(BytesIO(speech.audio)).samplerate == 24_000 and 4 < speech.seconds < 15
    heard = vitrina.generate(Product("录音", audio=speech.audio), want={"transcript"})
    wrong, count, differ = errors("zh", "这款陶瓷马克杯容量三百五十毫升，可进微波炉，售价八十九元。", heard.transcript)
    assert heard.transcript_language == "zh" and wrong <= 0.25 * count, differ


def test_voices_differ_and_each_is_found_by_its_name(vitrina):
    """Two take the same language, and a Chinese script may hold English words."""
    said = {voice: vitrina.speak("A red mug.", voice=voice) for voice in ("joe", "af_heart")}
    assert len({soundfile.info(BytesIO(speech.audio)).samplerate for speech in said.values()}) == 2
    mixed = {voice: vitrina.speak("这个 mug 很好。", voice=voice).audio for voice in ("zf_xiaoxiao", "zm_yunxi")}
    assert len(set(mixed.values())) == 2


BAD = [
    ({"script": ""}, InvalidInput, "SCRIPT", "nothing that can be spoken"),
    ({"script": " \n\t"}, InvalidInput, "SCRIPT", "nothing that can be spoken"),
    ({"script": "...?! --- ,;"}, InvalidInput, "SCRIPT", "nothing that can be spoken"),
    ({"script": "😀🎉👍🏽"}, InvalidInput, "SCRIPT", "nothing that can be spoken"),
    ({"script": "\x00\x01\x1b"}, InvalidInput, "SCRIPT", "nothing that can be spoken"),
    ({"script": "红色的杯子", "language": "en"}, InvalidInput, "SCRIPT", "has '红' at character 0"),
    ({"script": "кружка"}, InvalidInput, "SCRIPT", "has 'к' at character 0, which the voice joe (en) does not read"),
    ({"script": "马克杯 マグ"}, InvalidInput, "SCRIPT", "has 'マ' at character 4"),
    (
        {"script": "马克杯", "voice": "nobody"},
        InvalidInput,
        "VOICE",
        "'nobody' is unknown; send one of joe, zf_xiaoxiao",
    ),
    (
        {"script": "马克杯", "voice": "joe", "language": "zh"},
        InvalidInput,
        "VOICE",
        "'joe' speaks en, not zh; send one of",
    ),
    ({"script": "Un bol", "language": "fr"}, InvalidInput, "LANGUAGE", "'fr' has no voice; send en or zh"),
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


def test_bad_scripts_do_no_harm_to_those_beside_them(server):
    def ask(call):
        with Vitrina(f"grpc://{server.grpc_url}") as client:
            try:
                return client.speak(**call).seconds
            except VitrinaError as error:
                return error.field

    good = [{"script": "A red mug."}] * len(BAD)
    calls = [call for pair in zip(good, [bad for bad, *_ in BAD], strict=True) for call in pair]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, calls))
    assert answers[1::2] == [field for _, _, field, _ in BAD]
    assert all(0.5 < seconds < 3 for seconds in answers[::2])


def test_more_callers_than_the_queue_holds_all_get_an_answer_and_the_next_one_too(server):
    def ask(number):
        with Vitrina(f"grpc://{server.grpc_url}", retries=0, timeout=Timeout(total=5)) as client:
            try:
                return client.speak(f"A red mug, number {number}.").mime
            except VitrinaError as error:
                return type(error)

    with ThreadPoolExecutor(80) as pool:
        answers = set(pool.map(ask, range(80)))
    assert answers <= {"audio/wav", QueueFull, DeadlineExceeded} and "audio/wav" in answers
    with Vitrina(f"grpc://{server.grpc_url}") as client:
        assert client.speak("A red mug.").seconds < 3


def test_control_characters_and_emoji_are_not_spoken(vitrina, listen):
    heard = listen(vitrina.speak("\x00A red\x07 coffee mug\x1b for the whole family. 😀").audio).lower()
    assert "coffee" in heard and "family" in heard


def test_the_server_stops_at_the_deadline_by_itself(server):
    script, limit = (
        triton.InferInput(name, [1, 1], kind) for name, kind in (("SCRIPT", "BYTES"), ("TIMEOUT_MS", "INT32"))
    )
    script.set_data_from_numpy(np.array([[b"A long sentence about enamel mugs. " * 50]], object))
    limit.set_data_from_numpy(np.array([[300]], np.int32))
    with triton.InferenceServerClient(server.grpc_url) as client, pytest.raises(Exception, match="deadline_exceeded"):
        client.infer("speak", [script, limit], outputs=[triton.InferRequestedOutput("AUDIO")])


NOTE = "Handmade in Portugal from recycled glass."


@pytest.fixture(scope="module")
def note(server):
    """A spoken note: the voice's own."""
    with Vitrina(f"grpc://{server.grpc_url}") as client:
        return recording(client, NOTE, "recycled glass")


def test_what_is_said_in_a_note_is_written_down_and_goes_into_the_copy(vitrina, note):
    """The text is the one that the same words give when they are written."""
    carafe = Product("Water carafe, 1 litre", audio=note)
    sampling, silent = Sampling(seed=7), replace(carafe, audio=None)
    made = vitrina.generate(carafe, want={"text", "transcript", "condition"}, sampling=sampling)
    assert "recycled glass" in made.transcript.lower()
    texts = [
        vitrina.generate(silent, want={"text"}, sampling=sampling, condition=made.condition, transcript=transcript).text
        for transcript in (made.transcript, None)
    ]
    assert texts[0] == made.text != texts[1]


def test_a_note_goes_into_streams_variants_and_results(vitrina, note):
    carafe, sampling = Product("Water carafe, 1 litre", audio=note), Sampling(seed=7)
    silent = replace(carafe, audio=None)

    def texts(product):
        (result,) = vitrina.iter_results(product, {"text"}, sampling=sampling)
        variants = vitrina.variants(product, 3, sampling=sampling, task="description").listings
        return "".join(piece.text for piece in vitrina.stream(product, sampling=sampling)), variants, result.value.text

    assert all(told != untold for told, untold in zip(texts(carafe), texts(silent), strict=True))


def test_a_spoken_title_names_the_product(vitrina):
    said = recording(vitrina, "Red leather handbag with a brass buckle.", "handbag")
    assert "handbag" in vitrina.generate(Product("", audio=said), sampling=Sampling(seed=7)).text.lower()
