"""Prompt injection: text of a request that tells the writer what to write instead of saying what a product is.

Patterns of either language (`commands.yaml`) are held against a text as a reader sees it, and against what a model
could decode from it: letters of other scripts, letters with gaps, base64, reversed text. Of a text with a command, the
part before the command is a fact, and no more.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from stages.text import HAN

_REFERENCE = re.compile(r"(?<!\?P)<(\w+)>")  # <start>; what has no entry stands for itself
#: Letters of other scripts that look like Latin ones.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕԁһӏԛԝкмтвнАЕОРСУХІЈЅВНКМТαοερτικνυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧɑɡıʟᴀᴇᴏ",
    "aeopcyxijsdhlqwkmtbhAEOPCYXIJSBHKMTaoeptikvuxABEZHIKMNOPTYXagilaeo",
)
#: Traditional characters of the patterns.
_SIMPLIFIED = str.maketrans(
    "請寫說視聲稱報譽須務應該規則寧麗實設資訊內開頭結尾標題回覆複詢問題顧戶買賣費這裡裏為會來將產種個們條塊雙無沒獲榮經過護適網國際證癒療"
    "過後時與並現從變機構員統與紹廣評論頁宣傳類轉給養顏編輯輸補強調達齊誇讚虛構捏隱瞞鐘銀專業認檢測僅絕對復習關鍵點號備註記諾擔當",
    "请写说视声称报誉须务应该规则宁丽实设资讯内开头结尾标题回复复询问题顾户买卖费这里里为会来将产种个们条块双无没获荣经过护适网国际证愈疗"
    "过后时与并现从变机构员统与绍广评论页宣传类转给养颜编辑输补强调达齐夸赞虚构捏隐瞒钟银专业认检测仅绝对复习关键点号备注记诺担当",
)
_LEET = str.maketrans("013457@$", "oieastas")
_HIDDEN = {"Cf", "Mn", "Me", "Cc"}
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[\s:]?){12,}")
_SPACED = re.compile(r"(?:(?<!\w)\w[\s._*|-]{1,3}){6,}\w(?!\w)")
#: Letters with gaps, joined, have no words that could be told apart.
_JOINED = re.compile(
    r"(?:ignore|disregard|forget|override)(?:all|the|any|these|your)*(?:above|previous|prior|earlier|facts|instructions|rules)"
    r"|(?:write|say|state|claim|mention|customers|buyers|everyone)(?:that|itis|ithas|itcan|itcures|this|the|cures)"
    r"|(?:忽略|无视)(?:以上|上面)|请?(?:写明|声称|宣称)(?:它|可以|能|本品)",
    re.IGNORECASE,
)
#: Where an honest part may end.
_BOUNDARY = re.compile(r"[.!?;,|\n(（\[【{<。！？；，、•*#>/\"“「]|\s[-–—~+]+\s?|[–—]")
_ENDS = ' \t\n.,;|([{<（【，；、•*#>/"“「-–—:：~+'


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
    return table


@cache
def _pattern(kind: str) -> re.Pattern[str]:
    """The patterns of a kind, with their words."""
    given, names = _table()[kind], _table()["words"]
    text = given if isinstance(given, str) else "|".join(f"(?:{each})" for every in given.values() for each in every)
    while (after := _REFERENCE.sub(lambda word: names.get(word[1], word[0]), text)) != text:
        text = after
    return re.compile(re.sub(r"\n\s*", "", text), re.IGNORECASE | re.MULTILINE)


@lru_cache(4096)
def command_at(text: str) -> int | None:
    """Where a command begins in a text; None where there is none."""
    seen, places = _as_read(text)
    if match := _pattern("commands").search(seen):
        return places[match.start()] if match.start() < len(places) else len(text)
    return 0 if any(_pattern("commands").search(other) for other in _decoded(seen)) else None


def is_command(text: str) -> bool:
    """Whether a text tells the writer what to write instead of saying what a product is."""
    return command_at(text) is not None


@lru_cache(4096)
def honest_part(text: str) -> str:
    """A text up to the clause of its first command; empty where nothing of it is sure to be a fact."""
    while (place := command_at(text)) is not None:
        if _pattern("backward").search(_as_read(text)[0]):
            return ""
        ends = [match.start() for match in _BOUNDARY.finditer(text[: place + 1])]
        text = text[: ends[-1]].rstrip(_ENDS) if ends else ""
        while text and _pattern("preamble").match(_last_clause(text)):
            text = text[: len(text) - len(_last_clause(text))].rstrip(_ENDS)
    return text if sum(map(str.isalnum, text)) > 1 else ""


def honest_parts(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The honest part of each (name, text), empty where it has none: also of commands that run over two of them."""
    kept = [
        text if _is_honest(name, text) else "" if _is_named(name, text) else honest_part(text) for name, text in pairs
    ]
    for place, (_, text) in enumerate(pairs[1:], start=1):
        name, before = pairs[place - 1]
        # A word may be parted too: "wri" and "te that".
        parted = before[-1:].isalpha() and text[:1].isalpha() and not text[:1].isupper()
        joined = (f"{before}{gap}{text}" for gap in ((" ", "") if parted else (" ",)))
        alone = is_command(before) or is_command(text)
        if not alone and any(is_command(each) for each in joined):
            kept[place - 1] = kept[place] = ""
            before = f"{before} {text}"
        elif kept[place - 1] == before or not before:
            continue
        elif _pattern("open").search(_as_read(before or name)[0]):
            kept[place] = ""
    return [(name, text) for (name, _), text in zip(pairs, kept, strict=True)]


def _is_honest(name: str, text: str) -> bool:
    return not is_command(text) and not _is_named(name, text)


def _is_named(name: str, text: str) -> bool:
    """Whether the command is in a name, or begins there."""
    return bool(name) and (is_command(name) or (not is_command(text) and is_command(f"{name}: {text}")))


def _last_clause(text: str) -> str:
    ends = [match.end() for match in _BOUNDARY.finditer(text)]
    return text[ends[-1] if ends else 0 :].lstrip()


@lru_cache(4096)
def _as_read(text: str) -> tuple[str, list[int]]:
    """A text as it is read, one form for every letter, and the place in it that each character comes from."""
    seen: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if unicodedata.category(character) in _HIDDEN and character != "\n":
            continue
        plain = unicodedata.normalize("NFKC", character).translate(_SIMPLIFIED)
        seen += plain
        places += [place] * len(plain)
    whole = "".join(seen)
    for match in re.finditer(rf"(?<=[{HAN}，。：])[ \t.·_*|-]+(?=[{HAN}，。：])", whole):
        for place in range(*match.span()):
            seen[place] = ""
    gone = [place for place, character in enumerate(seen) if not character]
    if len(gone) >= 3:  # letters with gaps; fewer are gaps of a title
        places = [each for place, each in enumerate(places) if seen[place]]
        whole = "".join(seen)
    mixed = re.sub(r"\w+", lambda word: word[0].translate(_LOOKALIKES), whole) if not whole.isascii() else whole
    return mixed, places


def _decoded(text: str) -> Iterator[str]:
    """What a model could read in a text that a reader does not see at once."""
    for other in (html.unescape(text), unquote(text), text.replace("\\n", "\n")):
        if other != text:
            yield other
    if "\\u" in text or "\\x" in text:
        yield re.sub(r"\\[ux]\{?([0-9a-fA-F]{2,4})\}?", lambda code: chr(int(code[1], 16)), text)
    if re.search(r"[a-z][013457@$]|[013457@$][a-z]", text, re.IGNORECASE):
        yield re.sub(r"[\w@$]+", lambda word: _unleet(word[0]), text)
    for spaced in _SPACED.finditer(text):
        if _JOINED.search(re.sub(r"[\s._*|-]", "", spaced[0])):
            yield "system prompt"
    for turned in (text[::-1], codecs.encode(text, "rot13")):
        if _JOINED.search(re.sub(r"\W", "", turned)):
            yield turned
    for found in (*_BASE64.finditer(text), *_HEX.finditer(text)):
        if hidden := _hidden_text(found[0]):
            yield hidden
            yield "system prompt"


def _unleet(word: str) -> str:
    return word.translate(_LEET) if re.search(r"[A-Za-z]", word) else word


def _hidden_text(code: str) -> str:
    """The text that base64 or hexadecimal digits stand for; empty where they stand for none."""
    for decode in (
        lambda: base64.b64decode(code.replace("-", "+").replace("_", "/") + "=" * (-len(code.rstrip("=")) % 4)),
        lambda: bytes.fromhex(re.sub(r"[\s:]", "", code)),
    ):
        try:
            text = decode().decode("utf-8")
        except (binascii.Error, ValueError):
            continue
        if len(text) > 5 and all(each.isprintable() or each.isspace() for each in text):
            return text
    return ""
