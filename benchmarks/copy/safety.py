"""Sentences on allergens, ingredients, health, safety, age, dose or compatibility that are not in the facts' own words.

Two kinds of cue. A *claim* (``free from``, ``safe``, ``不含``) is in the facts' words only where the facts hold it with the
word beside it. A *name* (``allergens``, ``for ages``, ``成分``) may stand before the facts' words, and before nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import rjieba

from benchmarks.copy.products import Product
from benchmarks.copy.quantities import figures, normal

_FREE = (
    "(?!(?:hassle|stress|worry|care|hands|tangle|wrinkle|maintenance|trouble|clutter|frizz|crease|tax|risk|wire|cord"
    "|fuss|mess|noise|drip|effort|cable|duty|rust|distraction|interruption|rent|lag|streak)[- ]free)"
)
_ALLERGENS = (
    "nuts?|peanuts?|almonds?|hazelnuts?|walnuts?|cashews?|milk|dairy|lactose|gluten|wheat|soya?|eggs?|fish|shellfish"
    "|sesame|celery|mustard|nickel|latex|sulphites?|sulfites?"
)
CLAIMS = (
    rf"\b{_FREE}[a-z]+[- ]free\b(?! (?:shipping|delivery|gift|returns?|trial|time|with))|\bfree (?:from|of)(?! charge)\b",
    rf"\b(?:no|without|zero|never any|not contain\w*|neither) (?:\w+ ){{0,2}}(?:{_ALLERGENS}|additives?|preservatives?"
    r"|chemicals?|parabens?|sugars?|alcohol|bpa|artificial|colou?rings?|flavou?rings?|toxins?|side effects?)\b",
    r"\bcontains? (?:no|only|zero|neither|not|nothing)\b",
    r"\bhypo-?allergenic\w*|\ballerg(?:y|ic|ies)\b|\bintoleran\w+",
    r"\bnon-?toxic\w*|\btoxi(?:c|ns?)\b|\bharm(?:less|ful|ing)\b|\bpoison\w*|\bchemicals?\b",
    r"\b(?:un)?safe(?:ly|ty|r|st)?\b|\bsafeguard\w*|\bdanger\w*|\bhazard\w*|\bchild-?proof\b",
    r"\bhealth(?:y|ier|ily)?\b|\bmedic\w+|\bdoctors?\b|\bphysicians?\b|\bp(?:a)?ediatric\w*|\bdermatolog\w+|\bclinical\w*"
    r"|\btherap\w+|\bcur(?:e|es|ed|ing)\b(?! meat)|\bheal(?:s|ing)?\b|\btreatments?\b|\brelie(?:f|ves?)\b|\bdiseases?\b"
    r"|\billness\w*|\bimmun\w+|\bblood pressure\b|\bdigesti\w+|\banti-?bacterial\b|\banti-?microbial\b|\bbacteria\b"
    r"|\bgerms?\b|\binflammat\w+|\bantioxidants?\b|\bdeficienc\w+|\bbones?\b|\bpain\b",
    r"\bsensitive (?:skin|eyes|stomachs?|scalp)\b|\ball skin types\b|\birritat\w+|\bgentle (?:on|to|for)\b|\bpregnan\w+",
    r"\bnutritio\w+|\bnourish\w+|\bwholesome\b|\bvegans?\b|\bvegetarians?\b|\bkosher\b|\bhalal\b|\bgmo\b|\bparabens?\b"
    r"|\bbpa\b|\bsul(?:f|ph)ates?\b|\bphthalates?\b|\badditives?\b|\bpreservatives?\b|\bpesticides?\b|\bfda\b",
    r"\bdiet(?:s|ary)?\b|\bchok(?:e|ing)\b|\bprotects? (?:your |the |against |from )*(?:skin|eyes|bab\w+|child\w*|uv|sun)\b",
    r"\b(?:of|for) all ages\b|\ball ages\b|\b(?:any|every) age\b|\b(?:young|old)(?:er)? (?:and|or) (?:young|old)\b",
    r"不含|无(?:任何)?(?:添加|毒|害|刺激|麸质|糖|硅油|酒精|荧光|味|异味|甲醛|公害|农药|激素|防腐|副作用|残留|过敏)|[零0]添加"
    r"|没有(?:任何)?(?:添加|刺激|副作用|防腐)|未添加|不添加",
    r"安全|有毒|毒性|有害|过敏|敏感[肌皮肤]?|健康|养生|保健|养颜|治疗|疗效|治愈|医[用生疗院学]|药[用效]|抗菌|抑菌|杀菌|除菌|细菌|病菌|螨"
    r"|孕妇|副作用|免疫|血压|血糖|消化|肠胃|助眠|失眠|视力|近视|甲醛|重金属|化学|食品级|母婴|温和|不刺激|零刺激|刺激性"
    r"|营养|有机|纯天然|天然成分|添加剂|防腐剂|农药|抗氧化|修护屏障|骨骼|缺钙|补钙|男女老少|老少皆宜|全年龄|各年龄",
)
NAMES = (
    r"\bsuit(?:able|ed|s)\b|\bappropriate for\b|\b(?:ideal|perfect|great|designed|made|recommended|intended) for (?:\w+ )?"
    r"(?:ages?|aged|child\w*|kids?|bab(?:y|ies)|infants?|toddlers?|newborns?|adults?|seniors?|pregnan\w+|men|women|dogs|cats)\b",
    r"\bfor (?:\w+ )?(?:children|kids|babies|infants|toddlers|newborns|little ones)\b|\bages?\b(?! well)|\baged\b"
    r"|\byears? old\b|\bmonths? old\b|\b(?:years|months) (?:and|or) (?:up|older|over|above)\b",
    r"\ballergens?\b|\bingredients?\b|\bmay contain\b|\bcontains? traces\b"
    rf"|\bcontains? (?:\w+ ){{0,3}}(?:{_ALLERGENS})\b",
    r"\bdos(?:e|es|age)\b|\b(?:drops?|tablets?|servings?|capsules?|times?|once|twice) (?:a|per|each|every) (?:day|week)\b"
    r"|\b(?:once|twice) daily\b|\bdaily (?:dose|intake)\b",
    r"\bcompatib\w+|\bworks? with (?:all|any|most|every|your|ios|android|windows|mac\w*)\b|\bfits? (?:all|any|most|every)\b"
    r"|\buniversal(?:ly)?\b",
    r"\bwarnings?\b|\bcaution\w*|\bflammable\b|\bkeep (?:it )?(?:away|out of reach)\b",
    r"适(?:合|用|宜)(?:于)?[^，。；！？\n]{0,8}?(?:岁|月龄|人群|儿童|孩子|宝宝|婴|幼|孕|老人|肤|皮肤|体质|所有人|成人|成猫|猫|犬|狗|头皮)",
    r"适用(?:年龄|灶具|机型)|适宜人群|\d个?[岁月]?(?:以上|以下)?的?(?:儿童|孩子|宝宝|婴儿)|兼容|适配|通用|配料|成分|过敏原|原料",
    r"注意|警告|禁用|慎用|用量|剂量|每[日天次]\s*[\d一二两三]|[日天]\d?次|(?:儿童|宝宝|婴儿|婴幼儿|孩子)(?:使用|食用|专用)",
)
_CLAIM = re.compile("|".join(CLAIMS), re.IGNORECASE)
_NAME = re.compile("|".join(NAMES), re.IGNORECASE)
_NEGATION = re.compile(
    r"\b(?:no|not|never|without|free|neither|nor|cannot|can't|don't|doesn't)\b|[不无没未零]", re.IGNORECASE
)
_NEUTRAL = frozenset(
    "a an the this that these those it its is are be as at of on in to for from by with and or please note also which only"
    " all both made use used using your you our product item each per any other up over above more than can contain contains"
    " contained containing include includes included including ingredient ingredients allergen allergens warning warnings"
    " caution dosage dose suitable suit suits compatible compatibility age ages aged year years old month months older works"
    " work day week has have features comes may trace traces key recommended designed listed such".split()
)
_NEUTRAL_ZH = frozenset(
    "的 了 是 为 有 和 与 及 或 以及 等 请 本 该 此 其 产品 商品 本品 使用 适合 适用 适用于 适宜 人群 含 含有 包含 包括 成分 配料 配料表 原料 主要 "
    "过敏原 过敏 注意 注意事项 事项 警告 用法 用量 用法用量 兼容 支持 采用 精选 由 以 在 于 者 即 可 可以 能 系统 设备 如 例如 都 也 年龄 致 "
    "适用年龄 适配 通用 制成 提示 温馨 信息 主要成分 均 多种 以上 以下 至 到 岁 个 个月 月".split()
)
_SENTENCE = re.compile(r"[^\n。！？!?.]+(?:\.(?=\d)[^\n。！？!?.]*|\.(?=[A-Za-z])[^\n。！？!?.]*)*[。！？!?.]*")


@dataclass(frozen=True)
class Statement:
    """A sentence on safety.

    Args:
        begin, end: of its characters.
        cue: the words that make it one.
        supported: the facts say so in these words.
    """

    begin: int
    end: int
    cue: str
    supported: bool


def statements(product: Product, text: str) -> list[Statement]:
    """The sentences of a text that speak of safety; one a sentence, by the first cue that the facts do not support."""
    found = []
    for sentence in _SENTENCE.finditer(text):
        cues = [(cue, False) for cue in _CLAIM.finditer(sentence[0])]
        cues += [(cue, True) for cue in _NAME.finditer(sentence[0]) if not _inside(cue, cues)]
        if not cues:
            continue
        bad = next((cue for cue, names in cues if not _supported(product, sentence[0], cue, names)), None)
        chosen = bad or cues[0][0]
        found.append(Statement(sentence.start(), sentence.end(), chosen[0], bad is None))
    return found


def _inside(cue: re.Match[str], others: list[tuple[re.Match[str], bool]]) -> bool:
    return any(other.start() <= cue.start() and cue.end() <= other.end() for other, _ in others)


def _supported(product: Product, sentence: str, cue: re.Match[str], names: bool) -> bool:
    facts = _plain(product.facts)
    if _verbatim(sentence, cue, facts):
        return True
    if not names:
        return False
    clause = _clause(sentence, cue)
    if any(sign[0].casefold() not in _words(facts) for sign in _NEGATION.finditer(clause)):
        return False
    return not foreign_words(product, clause)


def _plain(text: str) -> str:
    """Lower case, single spaces, no punctuation but hyphens."""
    return " ".join(re.sub(r"[^\w%°+-]", " ", normal(text).casefold()).split())


def _words(plain: str) -> set[str]:
    return set(re.findall(r"[a-z][a-z'-]*|[一-鿿]", plain))


def _verbatim(sentence: str, cue: re.Match[str], facts: str) -> bool:
    """Whether the cue stands in the facts together with what stands beside it in the sentence."""
    if re.search(r"[一-鿿]", cue[0]):
        squeezed = facts.replace(" ", "")
        if re.sub(r"\W", "", cue[0]) not in squeezed:
            return False
        around = (sentence[max(0, cue.start() - 2) : cue.end()], sentence[cue.start() : cue.end() + 2])
        around += (sentence[max(0, cue.start() - 1) : cue.end() + 1],)
        return any(len(part) > len(cue[0]) and re.sub(r"\W", "", part) in squeezed for part in around) or (
            len(cue[0]) >= 4 and cue[0] in squeezed
        )
    before, after = _plain(sentence[: cue.start()]).split()[-1:], _plain(sentence[cue.end() :]).split()[:1]
    word = _plain(cue[0]).split()
    padded = f" {facts} "
    if "-" in cue[0] and f" {' '.join(word)} " in padded:
        return True
    ways = [[*before, *word]] if before else []
    ways += [[*word, *after]] if after else []
    return any(f" {' '.join(way)} " in padded for way in ways) or (len(word) > 2 and f" {' '.join(word)} " in padded)


def _clause(sentence: str, cue: re.Match[str]) -> str:
    """From the last mark before the cue to the sentence's end, for what is named stands behind."""
    begin = max((m.end() for m in re.finditer(r"[;；:：，]|, (?:and|but) ", sentence[: cue.start()])), default=0)
    stop = re.search(r"[;；]", sentence[cue.end() :])
    return sentence[begin : cue.end() + stop.start() if stop else len(sentence)]


def foreign_words(product: Product, text: str) -> list[str]:
    """Content words of a text that no fact of the product has; figures do not count, they are judged by themselves."""
    for figure in reversed(figures(text)):
        text = text[: figure.begin] + " " + text[figure.end :]
    facts = _plain(product.facts)
    stems = {stem(word) for word in re.findall(r"[a-z][a-z'-]*", facts)} | {
        stem(part) for word in re.findall(r"[a-z-]+", facts) for part in word.split("-")
    }
    latin = [w for w in re.findall(r"[a-z][a-z'-]*", text.casefold()) if w not in _NEUTRAL and stem(w) not in stems]
    chinese = "".join(re.findall(r"[一-鿿 ]|[^\w]", text))
    squeezed = facts.replace(" ", "")
    tokens = [token for token in rjieba.cut(chinese) if re.match(r"[一-鿿]", token)]
    foreign = [token for token in tokens if token not in _NEUTRAL_ZH and not _made_of(token, squeezed)]
    return latin + foreign


def _made_of(token: str, facts: str) -> bool:
    """Whether a Chinese word is in the facts, whole or, of more than two characters, but for one."""
    return token in facts or (len(token) > 2 and (token[:-1] in facts or token[1:] in facts))


def stem(word: str) -> str:
    """An English word without the endings of number, tense and adverb."""
    word = word.removesuffix("'s")
    for ending, least in (("ies", 2), ("ing", 4), ("ed", 4), ("es", 4), ("s", 3), ("ly", 4), ("e", 3), ("y", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            return word.removesuffix(ending)
    return word
