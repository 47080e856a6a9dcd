"""Figures out of texts, and which of them say the same."""

import pytest

from benchmarks.copy.quantities import figures


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 0.5 l bottle", [(0.5, "liter")]),
        ("10,000 mAh and 213 g", [(10_000, "milliampere_hour"), (213, "gram")]),
        ("a 5-inch screen", [(5, "inch")]),
        ("2560 x 1440", [(2560, ""), (1440, "")]),
        ("140 x 70 cm", [(140, "centimeter"), (70, "centimeter")]),
        ("100 to 240 V", [(100, "volt"), (240, "volt")]),
        ("a three-seat sofa", [(3, "")]),
        ("thirty-two pieces, one hundred and five pages", [(32, ""), (105, "")]),
        ("two litres, half a litre", [(2, "liter"), (0.5, "liter")]),
        ("one of the best", []),
        ("one litre", [(1, "liter")]),
        ("a dozen eggs", [(12, "")]),
        ("IPX8, PB-21, X50CrMoV15", [(0, "code")] * 3),
        ("at $19.99", [(19.99, "@money")]),
        ("the 3rd day", []),
        ("1. Oak\n2. Beech", []),
        ("5 in the box", [(5, "")]),
        ("a 5 USB-C hub", [(5, "")]),
        ("95% cotton, 30 °C", [(95, "@percent"), (30, "@celsius")]),
        ("published in 2021", [(2021, "")]),
        ("20000毫安时，355克", [(20_000, "milliampere_hour"), (355, "gram")]),
        ("2万毫安时", [(20_000, "milliampere_hour")]),
        ("每100克1980千焦", [(100, "gram"), (1980, "kilojoule")]),
        ("6至12个月", [(6, "month"), (12, "month")]),
        ("2024年出版", [(2024, "")]),
        ("两升，三个口袋，二十五公斤", [(2, "liter"), (3, ""), (25, "kilogram")]),
        ("十分好用的一款，一年四季", []),
        ("百分之九十五", [(95, "@percent")]),
        ("半小时充满", [(0.5, "hour")]),
        ("米色，升级款，5米色", [(5, "")]),
        ("３０厘米", [(30, "centimeter")]),
    ],
)
def test_figures_are_read_with_their_units(text, expected):
    assert [(figure.value, figure.unit) for figure in figures(text)] == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0.5 l", "500 ml", True),
        ("1 kg", "1000克", True),
        ("27 inches", "68.6 cm", True),
        ("27 inches", "69 cm", True),
        ("27 inches", "70 cm", False),
        ("12 months", "1 year", True),
        ("10,000 mAh", "10 Ah", True),
        ("86 °F", "30 °C", True),
        ("86 °F", "31 °C", False),
        ("213 g", "213 mAh", False),
        ("5 V", "5 W", False),
        ("PB-21", "pb21", True),
        ("IPX8", "IPX7", False),
        ("60 min", "1小时", True),
        ("46 cm", "46.5 cm", False),
    ],
)
def test_figures_are_compared_in_one_scale(one, other, same):
    (first,), (second,) = figures(one), figures(other)
    assert first.equals(second) is same
    assert second.equals(first) is same


def test_places_are_those_of_the_text():
    text = "约３０厘米，重两公斤"
    assert [text[figure.begin : figure.end] for figure in figures(text)] == ["３０厘米", "两公斤"]
