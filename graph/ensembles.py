"""The chains of models that answer a request: one `content…` per subset of the optional modalities, and the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from graph.modalities import IMAGE_MODALITY, Modality
from graph.schema import MAX_BATCH, Ensemble, Model, Step, Tensor, same
from graph.tensors import (
    AUDIO,
    CAPTION,
    CAPTIONS,
    CONDITION,
    COUNT,
    DRAWN_IMAGE,
    DRAWN_VIDEO,
    EDIT_FIELDS,
    EDIT_OUTPUTS,
    EMBEDDING,
    EVENT_TENSORS,
    EVENTS,
    FILM_FIELDS,
    FRAMES,
    FUSION_WEIGHTS,
    IMAGE,
    IMAGE_FORMAT,
    IMAGE_SEED,
    JUDGED,
    KEYWORDS,
    LABEL_TEXT,
    LOGO_SOUND,
    MODERATION,
    MUSIC,
    POST_OUTPUTS,
    PRESENCE,
    PROMPT_FIELDS,
    RANKING,
    RECOMMENDED,
    REQUEST,
    SAMPLING_FIELDS,
    SCRIPT,
    SPEECH_FIELDS,
    SPEECH_OUTPUTS,
    STUDIO_FIELDS,
    STUDIO_IMAGE,
    STUDIO_VIDEO,
    SUBJECT,
    TAG_OUTPUTS,
    TASK_SAMPLING,
    TEXT_MODERATION,
    TEXT_OUTPUTS,
    TITLE,
    TRANSCRIPT,
    TRANSCRIPT_LANGUAGE,
    VIDEO,
    noise,
)

# Triton prunes an ensemble to the outputs asked for, with two traps (`ensemble_scheduler.cc`, seen in 24.10):
# - an output that is not asked for counts as unused even where a step reads it, and a step of which all outputs are so
#   counted is dropped. So what one step reads of another is never an output of the ensemble, but a copy of it.
# - an input of the ensemble that is no longer needed is taken for an output of step 0, which may be dropped for it. So
#   the decoder stands first: where there are such inputs, it has gone already.


@dataclass(frozen=True)
class Bundle:
    """What a bundle's slots fill: its models by name, and the optional modalities."""

    models: Mapping[str, Model]
    modalities: tuple[Modality, ...]


def _encode(present: tuple[Modality, ...], bundle: Bundle) -> list[Step]:
    """From what the request carries to condition and embedding; an absent modality is wired to few zeros.

    One step reads and checks all that the request carries, because Triton 24.10 crashes or hangs for good if a step
    fails while another one of the same request is under way or still to be scheduled.
    """
    read = {"INPUT_IDS": "input_ids", "ATTENTION_MASK": "attention_mask", "PRESENCE": "presence"}
    fused = same("text_embedding", "presence")
    steps: list[Step] = []
    for modality in bundle.modalities:
        if modality in present:
            read |= modality.reading
            steps += modality.steps
            fused |= same(modality.taken.name)
        else:
            zeros = modality.absent.name
            read[zeros] = fused[modality.taken.name] = zeros.lower()
    steps += [
        Step("reader", same("TITLE", *(modality.edge.name for modality in present)), read),
        Step("text_encoder", same("input_ids", "attention_mask"), {"sentence_embedding": "text_embedding"}),
    ]
    outputs = {
        "condition": "CONDITION",
        "embedding": "EMBEDDING",
        "weights": "FUSION_WEIGHTS",
        "condition_copy": "condition",
    }
    judged = _judged(_told(_derived(present, bundle))) | {PRESENCE.name: "presence"}
    if IMAGE_MODALITY in present:
        judged["IMAGE_SCORES"] = "image_scores"
    if FRAMES.name in read:
        judged[FRAMES.name] = read[FRAMES.name]
    verdict = same("MODERATION") | {"MODERATION_COPY": "moderation"}
    label = [_read_label({PRESENCE.name: "presence"})] if LABEL_TEXT in _derived(present, bundle).values() else []
    return [*steps, *label, Step("moderator", judged, verdict), Step("fusion", fused, outputs)]


def _read_label(more: dict[str, str]) -> Step:
    """What is printed on the product of IMAGE: the output, and a copy for the next steps."""
    return Step("label_reader", same("IMAGE") | more, same("LABEL_TEXT") | {"LABEL_TEXT_COPY": "label_text"})


def _derived(present: tuple[Modality, ...], bundle: Bundle) -> dict[str, Tensor]:
    """Text fields that a step makes from a medium, which are outputs then: the ensemble's tensor → the field."""
    made = {"AUDIO": ("transcriber", "transcript", TRANSCRIPT), "IMAGE": ("label_reader", "label_text", LABEL_TEXT)}
    found = [made[modality.edge.name] for modality in present if modality.edge.name in made]
    return {tensor: field for model, tensor, field in found if model in bundle.models}


def _told(derived: dict[str, Tensor]) -> dict[str, str]:
    """The text fields; a step writes down what is said in a sound and printed in a photo."""
    return same("TITLE", *(t.name for t in PROMPT_FIELDS)) | {field.name: t for t, field in derived.items()}


def _judged(told: dict[str, str]) -> dict[str, str]:
    """Of these, what the policy is asked about before anything is written."""
    return {name: tensor for name, tensor in told.items() if name in JUDGED}


def _write(bundle: Bundle, condition: str, told: dict[str, str], checked: dict[str, str]) -> list[Step]:
    """From the tensor `condition` and the text fields to a whole TEXT, edited and let through, and TAGS.

    Args:
        told: as :func:`_told` gives it.
        checked: what the moderator shall judge beside the text, or what it has said already (EARLIER).
    """
    written = {"TEXT": "written", "FINISH_REASON": "finished"} | same("PROMPT_TOKENS", "COMPLETION_TOKENS")
    limits = same(*(t.name for t in EDIT_FIELDS))
    taken = {"WRITTEN": "written", "FINISHED": "finished", REQUEST.name: "request"}
    early = {"MODERATION": checked["EARLIER"]} if "EARLIER" in checked else {}
    let_through = {"MODERATION": "TEXT_MODERATION"} | same("TEXT", "FINISH_REASON")
    return [
        *_prompted(
            bundle,
            "text_collector",
            condition,
            written,
            same("TAGS", "TAG_SCORES", "KEYWORDS"),
            told | limits | early,
        ),
        Step("text_optimizer", taken, {"TEXT": "edited"} | same(*(t.name for t in EDIT_OUTPUTS))),
        Step("moderator", {"WRITTEN": "edited", "FINISHED": "finished"} | checked, let_through),
    ]


def _prompted(
    bundle: Bundle, decoder: str, condition: str, written: dict[str, str], shown: dict[str, str], told: dict[str, str]
) -> list[Step]:
    """From the tensor `condition` and the text fields to what a decoder writes.

    Args:
        written: the decoder's outputs → the ensemble's tensors; `shown` those of tagger and prompter that are outputs.
        told: the prompter's fields, as :func:`_told` gives them; also those that it refuses early where they are wrong,
            and what the policy says so far, which has it wait until nothing but itself can fail (see :func:`_encode`).
    """
    chosen = {name: name.lower() for name in TASK_SAMPLING}
    sampling = {tensor.name: chosen.get(tensor.name, tensor.name) for tensor in SAMPLING_FIELDS}
    copies = {"TAGS_COPY": "tags", "TAG_SCORES_COPY": "tag_scores"}
    asked = told | same(*TASK_SAMPLING)
    words = {name: tensor for name, tensor in shown.items() if name == KEYWORDS.name}
    tags = {name: tensor for name, tensor in shown.items() if name not in words}
    reads = {tensor.name for tensor in bundle.models[decoder].inputs} if decoder in bundle.models else set()
    made = {"PROMPT": "prompt", REQUEST.name: "request"}
    return [
        Step(decoder, {name: tensor for name, tensor in made.items() if name in reads} | sampling, written),
        Step("tagger", {"CONDITION": condition}, copies | tags),
        Step("prompter", {"TAGS": "tags", "TAG_SCORES": "tag_scores", **asked}, made | chosen | words),
    ]


def _draw(
    name: str,
    decoder: str,
    drawn: str,
    optimizer: str,
    taken: str,
    field: Tensor,
    output: Tensor,
    rows: int = MAX_BATCH,
) -> Ensemble:
    """From a condition to a picture or a clip: a chain of its own, which no other output waits for or fails with."""
    steps = (
        Step("seeder", same("CONDITION", "IMAGE_SEED"), {noise(decoder).name: "noise"}),
        Step(decoder, {"condition": "CONDITION", "noise": "noise"}, {drawn: "drawn"}),
        Step(optimizer, {taken: "drawn"} | same(field.name), same(output.name)),
    )
    return Ensemble(name, (CONDITION, IMAGE_SEED, field), (output,), steps, max_batch_size=rows)


def ensembles(bundle: Bundle) -> Iterator[Ensemble]:
    """Every ensemble: one `content…` per subset of the optional modalities, `generate…`, `speak` and `text_stream`.

    Those whose models the bundle does not have are among them.
    """
    streamed = (*PROMPT_FIELDS, *SAMPLING_FIELDS)
    fields = (*streamed, *EDIT_FIELDS)
    for count in range(len(bundle.modalities) + 1):
        for present in combinations(bundle.modalities, count):
            told = _told(_derived(present, bundle))
            derived = tuple(_derived(present, bundle).values())
            made = {tensor.name for tensor in derived}
            yield Ensemble(
                "_".join(["content", *(m.name for m in present)]),
                (TITLE, *(m.edge for m in present), *(t for t in fields if t.name not in made)),
                (
                    *(*TEXT_OUTPUTS, *EDIT_OUTPUTS, TEXT_MODERATION, CONDITION, EMBEDDING, FUSION_WEIGHTS),
                    *(*TAG_OUTPUTS, KEYWORDS, MODERATION, *derived),
                    *((TRANSCRIPT_LANGUAGE,) if TRANSCRIPT in derived else ()),
                ),
                (*_write(bundle, "condition", told, {"EARLIER": "moderation"}), *_encode(present, bundle)),
            )
    yield Ensemble(
        "generate",
        (CONDITION, TITLE, *fields),
        (*TEXT_OUTPUTS, *EDIT_OUTPUTS, TEXT_MODERATION, *TAG_OUTPUTS, KEYWORDS),
        tuple(_write(bundle, "CONDITION", _told({}), _judged(_told({})))),
    )
    yield Ensemble("read_label", (IMAGE,), (LABEL_TEXT,), (Step("label_reader", same("IMAGE"), same("LABEL_TEXT")),))
    yield _draw("generate_image", "image_decoder", "picture", "image_optimizer", "PICTURE", IMAGE_FORMAT, DRAWN_IMAGE)
    yield _draw("generate_video", "video_decoder", "frames", "video_optimizer", "DRAWN", MUSIC, DRAWN_VIDEO, rows=1)
    read = {"PHOTO": "photo", "PIXELS": "pixels", "VIEW": "view"}
    seen = (
        Step("cutout", same("pixels"), same("opacity")),
        Step("image_encoder", {"pixels": "view"}, {"class_scores": "image_scores"}),
    )
    shown = {"PHOTO": "photo", "OPACITY": "opacity", "MODERATION": "moderation"}
    judged, verdict = {"IMAGE_SCORES": "image_scores"}, {"MODERATION": "moderation"}
    # A clip is an ensemble of its own: two last steps of one could fail beside each other (see `_encode`).
    shots: tuple[tuple[str, str, tuple[Tensor, ...], str, Tensor], ...] = (
        ("studio", "studio_composer", STUDIO_FIELDS, "IMAGE", STUDIO_IMAGE),
        ("studio_video", "studio_filmer", FILM_FIELDS, "VIDEO", STUDIO_VIDEO),
    )
    for name, last, taken, file, shot in shots:
        order = same(*(tensor.name for tensor in taken))
        yield Ensemble(
            name,
            (IMAGE, *taken),
            (shot, SUBJECT),
            (
                Step("photo_reader", same("IMAGE") | {n: t for n, t in order.items() if n != "MUSIC"}, read),
                *seen,
                Step("moderator", judged, verdict),
                Step(last, shown | order, {file: shot.name} | same("SUBJECT")),
            ),
            max_batch_size=1,
        )
    heard = (Step("transcriber", {"LOG_MEL": "log_mel"}, {"TRANSCRIPT": "transcript"}),)
    yield Ensemble(
        "post",
        (
            *(replace(media, optional=True) for media in (IMAGE, VIDEO, AUDIO, MUSIC, LOGO_SOUND)),
            CAPTION,
            CAPTIONS,
            *STUDIO_FIELDS[:2],
        ),
        POST_OUTPUTS,
        (
            Step(
                "photo_reader",
                same("IMAGE", "VIDEO", "AUDIO", "ASPECT"),
                read | {"IS_FRAME": "is_frame", "FRAMES": "frames", "LOG_MEL": "log_mel"},
            ),
            *seen,
            *(heard if "transcriber" in bundle.models else ()),
            Step("moderator", same("CAPTION") | judged | {"FRAMES": "frames", "TRANSCRIPT": "transcript"}, verdict),
            Step(
                "post_composer",
                shown
                | {"IS_FRAME": "is_frame"}
                | same("CAPTION", "CAPTIONS", "AUDIO", "VIDEO", "MUSIC", "LOGO_SOUND", "ASPECT", "BACKGROUND"),
                same("POST", "SECONDS"),
            ),
        ),
        max_batch_size=1,
    )
    ranking = {tensor.name: tensor.name.lower() for tensor in RANKING}
    yield Ensemble(
        "recommend",
        (EVENTS, COUNT),
        RECOMMENDED,
        (
            Step("history_reader", same("EVENTS", "COUNT"), {t.name.upper(): t.name for t in EVENT_TENSORS} | ranking),
            Step("behavior_encoder", same(*(t.name for t in EVENT_TENSORS)), {"features": "shopper"}),
            Step("recommender", {"SHOPPER": "shopper"} | ranking, same(*(t.name for t in RECOMMENDED))),
        ),
        max_batch_size=1,
    )
    yield Ensemble(
        "speak",
        (SCRIPT, *SPEECH_FIELDS),
        SPEECH_OUTPUTS,
        (
            Step("moderator", same("SCRIPT"), verdict),
            Step(
                "synthesizer",
                {"MODERATION": "moderation"} | same("SCRIPT", *(t.name for t in SPEECH_FIELDS)),
                {"SAMPLES": "samples", "SAMPLE_RATE": "sample_rate"},
            ),
            Step(
                "audio_optimizer",
                {"SAMPLES": "samples", "SAMPLE_RATE": "sample_rate", "AUDIO_FORMAT": "AUDIO_FORMAT"},
                same("AUDIO", "SECONDS"),
            ),
        ),
        max_batch_size=1,
    )
    yield Ensemble(
        "text_stream",
        (CONDITION, TITLE, *streamed),
        TEXT_OUTPUTS,
        tuple(_prompted(bundle, "text_decoder", "CONDITION", same(*(t.name for t in TEXT_OUTPUTS)), {}, _told({}))),
        max_batch_size=1,
        decoupled=True,
    )
