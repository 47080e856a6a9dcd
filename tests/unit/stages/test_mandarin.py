"""Chinese copy as it is read aloud, and its phonemes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.mandarin import number, sentences, transcribe
from stages.text import HAN

SPOKEN = {
    "容量500ml，净重1.5kg": "容量五百毫升, 净重一点五公斤",
    "售价¥199.9元，原价$1,299": "售价一百九十九点九元, 原价一千二百九十九美元",
    "20000mAh充电宝": "两万毫安时充电宝",
    "尺寸120×60×75cm": "尺寸一百二十乘六十乘七十五厘米",
    "30mm*40mm": "三十毫米乘四十毫米",
    "适合5-10岁": "适合五到十岁",
    "含100%棉，降5%~10%": "含百分之一百棉, 降百分之五到百分之十",
    "-5℃~40℃": "零下五到四十摄氏度",
    "工作温度-5℃~40℃": "工作温度零下五到四十摄氏度",
    "低至-20°C": "低至零下二十摄氏度",
    "110-240V~50/60Hz": "一百一十到二百四十伏, 五十或六十赫兹",
    "A4纸，USB-C接口": "A 四纸, USB C接口",
    "型号MX-200，IP67": "型号 M X 二零零, I P 六七",
    "5G手机，4K屏，500G装": "五 G 手机, 四 K 屏, 五百克装",
    "2024年第2代": "二零二四年第二代",
    "2个，2小时，2年，2kg": "两个, 两小时, 两年, 两公斤",
    "1/2杯，1½杯": "二分之一杯, 一又二分之一杯",
    "16:9的屏幕，早上8:05开": "十六比九的屏幕, 早上八点零五分开",
    "13800138000": "一三八零零一三八零零零",
    "6个/盒": "六个每盒",
    "3.5英寸 10寸": "三点五英寸十寸",
    "防水 轻便": "防水, 轻便",
    "No.5": "五号",
    "版本1.2.3": "版本一点二点三",
    "φ30mm，≥5年，±2mm": "直径三十毫米, 不少于五年, 正负两毫米",
    "**好用**😀！": "好用!",
    "“送礼”《首选》（新款）": "送礼首选, 新款",
    "８００毫升": "八百毫升",
}


@pytest.mark.parametrize("written", SPOKEN)
def test_everything_in_characters(written: str) -> None:
    assert " ".join(sentences(written)) == SPOKEN[written]


def test_sentences_lists_and_headings_are_said_one_by_one() -> None:
    text = "# 台灯\n- 红色。只要¥5！\n2、真的？（是。）\n\n---\n"
    assert sentences(text) == ["台灯", "红色.", "只要五元!", "真的?", "是."]


@pytest.mark.parametrize(
    ("written", "said"),
    [("0.9", "零点九"), ("05", "零五"), ("1,250.50", "一千二百五十点五零"), ("20000000", "两千万"), ("10", "十")],
)
def test_numbers(written: str, said: str) -> None:
    assert number(written) == said


@settings(max_examples=500)
@given(st.text(max_size=120) | st.text("0123456789.,:-/~xX%°CF¥$kgml万个年 第米", max_size=30))
def test_any_text_is_said_without_digits(text: str) -> None:
    for sentence in sentences(text):
        assert not re.search(r"[0-9]", sentence)
        assert sentence == sentence.strip() != ""


def test_tones_words_and_what_is_foreign() -> None:
    said = transcribe("这个 red mug 很好, 银行.", lambda words: words.strip().upper())
    assert said == "ꭧɤ↘kɤ RED MUG xə↓n xau↓, i↗nxa↗ŋ."


@settings(max_examples=300)
@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), max_size=30))
def test_any_character_has_phonemes_or_none(text: str) -> None:
    assert not re.search(f"[{HAN}]", transcribe(text, str))
