"""Every model that Triton may load, with its tensors; the text that says what each is for stands in its adapter.

A bundle has those whose slots are filled, and of their tensors those whose facts are known (`graph.assembly`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graph.modalities import Modality
from graph.schema import Model, Tensor
from graph.tensors import (
    AUDIO,
    CAPTION,
    CAPTIONS,
    CONDITION,
    COUNT,
    DECODER_INPUTS,
    EDIT_FIELDS,
    EDIT_OUTPUTS,
    EMBEDDING,
    EVENT_TENSORS,
    EVENTS,
    FILM_FIELDS,
    FRAME_DIMS,
    FRAMES,
    FUSION_WEIGHTS,
    IMAGE,
    IMAGE_FORMAT,
    IMAGE_SCORES,
    IMAGE_SEED,
    IS_FRAME,
    JUDGED,
    KEYWORDS,
    LABEL_TEXT,
    LOG_MEL,
    LOGO_SOUND,
    MODERATION,
    MUSIC,
    OPACITY,
    OPACITY_DIMS,
    PHOTO,
    PICTURE_DIMS,
    PIXEL_DIMS,
    POST_OUTPUTS,
    PRESENCE,
    PROMPT,
    PROMPT_FIELDS,
    RANKING,
    RECOMMENDED,
    REQUEST,
    SAMPLE_RATE,
    SAMPLES,
    SAMPLING_FIELDS,
    SCRIPT,
    SPEECH_FIELDS,
    SPEECH_OUTPUTS,
    STUDIO_FIELDS,
    SUBJECT,
    TAG_OUTPUTS,
    TAGS,
    TASK_SAMPLING,
    TEXT_OUTPUTS,
    TITLE,
    TRANSCRIPT,
    TRANSCRIPT_LANGUAGE,
    VIDEO,
    features,
    noise,
)

#: Threads of one network on CPU. The heaviest has two instances instead of two threads, which never wait for each other
#: inside a run.
_ONE_THREAD = {"intra_op_thread_count": "1"}


def _encoder(name: str, inputs: tuple[Tensor, ...]) -> Model:
    return Model(
        name,
        "onnxruntime",
        inputs,
        (features(name),),
        parameters=_ONE_THREAD,
        engine=True,
        files={"model.onnx": name},
    )


def _drawer(name: str, output: Tensor, cpu_batch: int | None = None) -> Model:
    """A decoder of pictures: from the condition and noise, of which the same gives the same."""
    return Model(
        name,
        "onnxruntime",
        (replace(CONDITION, name="condition"), replace(noise(name), name="noise")),
        (output,),
        cpu_batch=cpu_batch,
        engine=True,
        files={"model.onnx": name},
    )


def _finisher(name: str, drawn: Tensor, field: Tensor, output: Tensor) -> Model:
    """From what a decoder drew to a file; its optional field differs from request to request."""
    return Model(name, "python", (drawn, field), (output,), batches=False)


def _one_at_a_time(name: str, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> Model:
    """A step on whole photos and films, which keeps its own queue."""
    return Model(name, "python", inputs, outputs, max_batch_size=1, batches=False, max_queue=64)


def declare(modalities: Sequence[Modality]) -> tuple[Model, ...]:
    """Every model that a bundle with these modalities may have."""
    return (
        Model(
            "canary",
            "python",
            (Tensor("INTS", "INT64", ("any",)), Tensor("FLOATS", "FP32", ("any",)), Tensor("WORDS", "BYTES", ("any",))),
            (
                Tensor("INTS_ECHO", "INT64", ("any",)),
                Tensor("FLOATS_ECHO", "FP32", ("any",)),
                Tensor("WORDS_ECHO", "BYTES", ("any",)),
            ),
            max_batch_size=0,
            batches=False,
        ),
        Model(
            "reader",
            "python",
            (TITLE, *(replace(modality.edge, optional=True) for modality in modalities)),
            (
                Tensor("INPUT_IDS", "INT64", ("length",)),
                Tensor("ATTENTION_MASK", "INT64", ("length",)),
                *(tensor for modality in modalities for tensor in modality.read),
                PRESENCE,
                *(modality.absent for modality in modalities),
            ),
            batches=False,
            max_queue=256,
            files={"tokenizer.json": "text_encoder", "items.npz": "item_index"},
        ),
        Model(
            "text_encoder",
            "onnxruntime",
            (Tensor("input_ids", "INT64", ("length",)), Tensor("attention_mask", "INT64", ("length",))),
            (Tensor("sentence_embedding", "FP32", ("text_encoder.width",)),),
            parameters=_ONE_THREAD,
            engine=True,
            files={"model.onnx": "text_encoder"},
        ),
        Model(
            "image_encoder",
            "onnxruntime",
            (Tensor("pixels", "UINT8", PIXEL_DIMS),),
            (features("image_encoder"), replace(IMAGE_SCORES, name="class_scores", optional=False)),
            instances=2,
            parameters=_ONE_THREAD,
            engine=True,
            files={"model.onnx": "image_encoder"},
        ),
        _encoder("video_encoder", (replace(FRAMES, name="frames"),)),
        _encoder("audio_encoder", (replace(LOG_MEL, name="log_mel"),)),
        _encoder("behavior_encoder", EVENT_TENSORS),
        Model(
            "transcriber",
            "python",
            (LOG_MEL,),
            (TRANSCRIPT, replace(TRANSCRIPT, name="TRANSCRIPT_COPY"), TRANSCRIPT_LANGUAGE),
            files=dict.fromkeys(
                ("model.bin", "config.json", "vocabulary.txt", "tokenizer.json", "transcriber.json"), "transcriber"
            ),
        ),
        # What is said in a sound, embedded for a fusion of one space. The text encoder is called (BLS): its tokens are
        # made here.
        Model(
            "transcript_encoder",
            "python",
            (TRANSCRIPT,),
            (Tensor("features", "FP32", (1, "text_encoder.width")),),
            batches=False,
            calls=("text_encoder",),
            files={"tokenizer.json": "text_encoder"},
        ),
        Model(
            "label_detector",
            "onnxruntime",
            (Tensor("pixels", "UINT8", ("label_height", "label_width", 3)),),
            (Tensor("text", "FP32", ("label_height", "label_width")),),
            max_batch_size=1,  # photos differ in shape
            batches=False,
            parameters=_ONE_THREAD,
            files={"model.onnx": "label_detector"},
        ),
        Model(
            "label_classifier",
            "onnxruntime",
            (Tensor("pixels", "UINT8", ("label_classifier.height", "label_classifier.width", 3)),),
            (Tensor("directions", "FP32", (2,)),),
            batches=False,
            parameters=_ONE_THREAD,
            files={"model.onnx": "label_classifier"},
        ),
        Model(
            "label_recognizer",
            "onnxruntime",
            (Tensor("pixels", "UINT8", ("label_recognizer.height", "line_width", 3)),),
            (
                Tensor("characters", "INT64", ("line_steps",)),
                Tensor("probabilities", "FP32", ("line_steps",)),
                Tensor("spaces", "FP32", ("line_steps",)),
            ),
            batches=False,
            parameters=_ONE_THREAD,
            files={"model.onnx": "label_recognizer"},
        ),
        # How many lines a photo has, no ensemble can count out: the reader calls the three networks (BLS). With
        # PRESENCE it runs beside other steps and never fails.
        Model(
            "label_reader",
            "python",
            (IMAGE, replace(PRESENCE, optional=True)),
            (LABEL_TEXT, replace(LABEL_TEXT, name="LABEL_TEXT_COPY")),
            batches=False,
            calls=("label_detector", "label_classifier", "label_recognizer"),
            parameters={
                "recognized_height": "label_recognizer.height",
                "classified_height": "label_classifier.height",
                "classified_width": "label_classifier.width",
            },
            files={"characters.json": "label_recognizer"},
        ),
        Model(
            "fusion",
            "onnxruntime",
            (
                Tensor("text_embedding", "FP32", ("text_encoder.width",)),
                *(modality.taken for modality in modalities),
                replace(PRESENCE, name="presence"),
            ),
            (
                Tensor("condition", "FP32", CONDITION.dims),
                Tensor("embedding", "FP32", EMBEDDING.dims),
                Tensor("weights", "FP32", FUSION_WEIGHTS.dims),
                Tensor("condition_copy", "FP32", CONDITION.dims),  # for the next steps, see `_encode`
            ),
            parameters=_ONE_THREAD,
            engine=True,
            files={"model.onnx": "fusion"},
        ),
        _drawer("image_decoder", Tensor("picture", "UINT8", PICTURE_DIMS)),
        _drawer("video_decoder", Tensor("frames", "UINT8", FRAME_DIMS), cpu_batch=1),
        Model(
            "seeder",
            "python",
            (CONDITION, IMAGE_SEED),
            (noise("image_decoder"), noise("video_decoder")),
            batches=False,
        ),
        _finisher("image_optimizer", Tensor("PICTURE", "UINT8", PICTURE_DIMS), IMAGE_FORMAT, IMAGE),
        _finisher("video_optimizer", Tensor("DRAWN", "UINT8", FRAME_DIMS), MUSIC, VIDEO),
        Model(
            "tagger",
            "python",
            (CONDITION,),
            (*TAG_OUTPUTS, Tensor("TAGS_COPY", "BYTES", (TAGS,)), Tensor("TAG_SCORES_COPY", "FP32", (TAGS,))),
            files={"tags.npz": "tagger"},
        ),
        Model(
            "prompter",
            "python",
            (
                TITLE,
                *TAG_OUTPUTS,
                *PROMPT_FIELDS,
                *(t for t in SAMPLING_FIELDS if t.name in TASK_SAMPLING),
                *EDIT_FIELDS,
                replace(MODERATION, optional=True),
            ),
            (
                PROMPT,
                KEYWORDS,
                replace(REQUEST, optional=False),
                *(replace(t, optional=False) for t in SAMPLING_FIELDS if t.name in TASK_SAMPLING),
            ),
            batches=False,  # optional fields differ from request to request
            files={"prompts.json": "text_decoder"},
        ),
        Model(
            "text_decoder",
            "python",
            (*DECODER_INPUTS, REQUEST),
            (TEXT_OUTPUTS[0], Tensor("TOKEN_IDS", "INT64", ("pieces",)), *TEXT_OUTPUTS[1:]),
            max_batch_size=1,
            decoupled=True,
            batches=False,
            parameters={"execution_provider": "CPU", "slots": "8", "max_queue": "64", "threads": "0"},
            cuda={"execution_provider": "CUDA", "slots": "32", "max_queue": "256"},
            files=dict.fromkeys(
                (
                    "model.onnx",
                    "model.onnx.data",
                    "embeddings.npy",
                    "tokenizer.json",
                    "prompts.json",
                    "decoder.json",
                ),
                "text_decoder",
            ),
        ),
        Model("text_collector", "python", DECODER_INPUTS, TEXT_OUTPUTS, batches=False, calls=("text_decoder",)),
        Model(
            "text_optimizer",
            "python",
            (Tensor("WRITTEN", "BYTES", (1,)), Tensor("FINISHED", "BYTES", (1,)), replace(REQUEST, optional=False)),
            (TEXT_OUTPUTS[0], *EDIT_OUTPUTS),
            batches=False,
            files={"prompts.json": "text_decoder"},
        ),
        Model(
            "moderator",
            "python",
            (
                *(Tensor(name, "BYTES", (1,), optional=True) for name in JUDGED),
                IMAGE_SCORES,
                replace(FRAMES, optional=True),
                replace(PRESENCE, optional=True),  # which is there once the reader can refuse nothing any more
            ),
            (MODERATION, replace(MODERATION, name="MODERATION_COPY"), *TEXT_OUTPUTS[:2]),
            batches=False,  # optional fields differ from request to request
            calls=("text_encoder", "image_encoder"),
            parameters={"image_side": "image_encoder.side"},
            files={"tokenizer.json": "text_encoder", "labels.json": "image_encoder"},
        ),
        Model(
            "history_reader",
            "python",
            (EVENTS, COUNT),
            (*(replace(t, name=t.name.upper()) for t in EVENT_TENSORS), *RANKING),
            max_batch_size=1,
            batches=False,
            files={"items.npz": "item_index"},
        ),
        Model(
            "recommender",
            "python",
            (replace(features("behavior_encoder"), name="SHOPPER"), *RANKING),
            RECOMMENDED,
            max_batch_size=1,
            batches=False,
            files={"items.npz": "item_index"},
        ),
        _one_at_a_time(
            "photo_reader",
            (*(replace(media, optional=True) for media in (IMAGE, VIDEO, AUDIO)), *STUDIO_FIELDS),
            (
                PHOTO,
                IS_FRAME,
                FRAMES,
                LOG_MEL,
                Tensor("PIXELS", "UINT8", (*OPACITY_DIMS, 3)),
                Tensor("VIEW", "UINT8", PIXEL_DIMS),
            ),
        ),
        Model(
            "cutout",
            "onnxruntime",
            (Tensor("pixels", "UINT8", (*OPACITY_DIMS, 3)),),
            (Tensor("opacity", "FP32", OPACITY_DIMS),),
            cpu_batch=1,
            engine=True,
            files={"model.onnx": "cutout"},
        ),
        _one_at_a_time("studio_composer", (PHOTO, OPACITY, MODERATION, *STUDIO_FIELDS), (IMAGE, SUBJECT)),
        _one_at_a_time("studio_filmer", (PHOTO, OPACITY, MODERATION, *FILM_FIELDS), (VIDEO, SUBJECT)),
        _one_at_a_time(
            "post_composer",
            (
                PHOTO,
                OPACITY,
                MODERATION,
                CAPTION,
                IS_FRAME,
                *(replace(media, optional=True) for media in (AUDIO, VIDEO, MUSIC, LOGO_SOUND)),
                CAPTIONS,
                *STUDIO_FIELDS[:2],
            ),
            POST_OUTPUTS,
        ),
        # A script's sentences are runs of their own, which no ensemble can count out: the synthesizer calls the
        # decoder for each (BLS). So runs stay short, a deadline is heeded between them, and scripts take turns.
        Model(
            "synthesizer",
            "python",
            (SCRIPT, MODERATION, *SPEECH_FIELDS),
            (SAMPLES, SAMPLE_RATE),
            max_batch_size=1,
            instances=2,
            batches=False,
            max_queue=64,
            calls=("speech_decoder", "speech_decoder_zh"),
            files={
                "vits.json": "speech_decoder",
                "kokoro.json": "speech_decoder_zh",
                "styles.npy": "speech_decoder_zh",
            },
        ),
        Model(
            "speech_decoder",
            "onnxruntime",
            (
                Tensor("input", "INT64", ("sentences", "phonemes")),
                Tensor("input_lengths", "INT64", ("sentences",)),
                Tensor("scales", "FP32", (3,)),
            ),
            (Tensor("output", "FP32", ("sentences", 1, 1, "samples")),),
            max_batch_size=0,
            batches=False,
            instances=2,
            parameters=_ONE_THREAD,
            files={"model.onnx": "speech_decoder"},
        ),
        # Several threads: on one it speaks hardly faster than people do.
        Model(
            "speech_decoder_zh",
            "onnxruntime",
            (
                Tensor("tokens", "INT64", (1, "signs")),
                Tensor("style", "FP32", (1, "speech_decoder_zh.style")),
                Tensor("speed", "FP32", (1,)),
            ),
            (Tensor("audio", "FP32", ("samples",)),),
            max_batch_size=0,
            batches=False,
            files={"model.onnx": "speech_decoder_zh"},
        ),
        Model(
            "audio_optimizer",
            "python",
            (SAMPLES, SAMPLE_RATE, SPEECH_FIELDS[1]),
            SPEECH_OUTPUTS,
            max_batch_size=1,
            batches=False,
        ),
    )
