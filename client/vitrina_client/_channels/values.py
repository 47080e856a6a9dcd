"""Arguments of the converters: what is checked before anything is made of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from vitrina_client._errors import InvalidInput

if TYPE_CHECKING:
    from vitrina_client._channels.listing import ListingFields

#: A number without a currency; a float is written with two decimals.
Price = int | float | str | Decimal

AVAILABILITY = ("in_stock", "out_of_stock", "preorder", "backorder")
#: Names under which shops give an attribute that a channel has a field for.
NAMES = {
    "colour": {"colour", "color", "颜色", "色"},
    "material": {"material", "materials", "fabric", "材质", "材料", "面料"},
    "size": {"size", "尺码", "码数"},
    "allergens": {"allergens", "allergen", "allergen information", "过敏原", "致敏物质", "致敏原"},
}


def check_text(**values: str | None) -> None:
    """Raises InvalidInput for a value that is no text."""
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise InvalidInput(f"{name}={value!r} must be text", field=name)


def check_required(**values: str) -> None:
    """Raises InvalidInput for a value that is no text, or empty."""
    check_text(**values)
    for name, value in values.items():
        if not value.strip():
            raise InvalidInput(f"{name} is empty; pass it", field=name)


def check_choice(name: str, value: str | None, choices: Collection[str]) -> None:
    """Raises InvalidInput for a value that is none of the choices."""
    if value and value not in choices:
        raise InvalidInput(f"{name}={value!r} must be one of {', '.join(choices)}", field=name)


def format_price(price: Price | None) -> str:
    """The price as a decimal number, empty for None.

    Raises:
        InvalidInput: it is no number from 0.
    """
    if price is None or price == "":
        return ""
    try:
        number = Decimal(str(price))
    except InvalidOperation:
        number = Decimal("nan")
    if isinstance(price, bool) or not number.is_finite() or number < 0:
        raise InvalidInput(f"price={price!r} must be a number, 0 or more, without a currency", field="price")
    return f"{number:.2f}" if isinstance(price, float) else f"{number:f}"


def check_price_with_currency(price: str | None) -> None:
    """Raises InvalidInput for a price that is not like ``24.99 EUR``."""
    if price and not (isinstance(price, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)? [A-Z]{3}", price)):
        raise InvalidInput(f"price={price!r} must be a number and a currency code, like '24.99 EUR'", field="price")


def attribute(listing: ListingFields, kind: str) -> str:
    """The value of the first attribute of a kind of `NAMES`, empty if there is none."""
    return next((each.value for each in listing.attributes if each.name.strip().casefold() in NAMES[kind]), "")


def is_gtin(code: str) -> bool:
    """Whether a code is a GTIN-8, -12, -13 or -14 with the right check digit (GS1 General Specifications, 7.9)."""
    if not re.fullmatch(r"[0-9]{8}|[0-9]{12,14}", code):
        return False
    digits = [int(digit) for digit in reversed(code)]
    return sum(digit * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0
