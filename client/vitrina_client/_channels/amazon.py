"""Amazon: a row of an inventory file, and the file of several rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from vitrina_client._channels import fix
from vitrina_client._channels import text as texts
from vitrina_client._channels.check import Rules, common_word, faults, load
from vitrina_client._channels.values import (
    NAMES,
    Price,
    attribute,
    check_choice,
    check_required,
    check_text,
    format_price,
)
from vitrina_client._errors import InvalidInput

if TYPE_CHECKING:
    from vitrina_client._channels.listing import Attribute, ListingFields, Statement

BULLETS = 5
#: What a cell of the file cannot hold.
_BREAKS = re.compile(r"[\t\r\n\v\f\x00\x1c-\x1e\x85\u2028\u2029]+")
PRODUCT_ID_TYPES = ("EAN", "UPC", "GTIN", "ASIN")


def convert(listing: ListingFields, **arguments: Any) -> dict[str, str]:
    """The row; `StructuredListing.to_amazon_flat` has the arguments."""
    check_required(sku=arguments["sku"])
    return build(listing, **arguments)


def build(
    listing: ListingFields,
    *,
    sku: str = "",
    product_type: str | None = None,
    brand: str | None = None,
    price: Price | None = None,
    quantity: int | None = None,
    image: str | None = None,
    product_id: str | None = None,
    product_id_type: str | None = None,
) -> dict[str, str]:
    """The same without refusing what is missing."""
    check_text(sku=sku, product_type=product_type, brand=brand, image=image, product_id=product_id)
    check_choice("product_id_type", product_id_type, PRODUCT_ID_TYPES)
    if quantity is not None and (isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 0):
        raise InvalidInput(f"quantity={quantity!r} must be a whole number, 0 or more", field="quantity")
    rules = load("amazon")
    name = brand or ""
    title = fix.fix_title(rules, "item_name", listing.title, brand=name)
    bullets = fix.fix_points(rules, "bullet_point*", [each.text for each in listing.bullets], most=BULLETS, brand=name)
    bullets += [""] * (BULLETS - len(bullets))
    text = fix.without_statements(listing)
    return {
        "feed_product_type": product_type or "",
        "item_sku": sku,
        "brand_name": name,
        "item_name": title,
        "external_product_id": product_id or "",
        "external_product_id_type": product_id_type or "",
        "standard_price": format_price(price),
        "quantity": "" if quantity is None else str(quantity),
        "main_image_url": image or "",
        "product_description": fix.fix_text(rules, "product_description", text, brand=name, line_break="<br>"),
        **{f"bullet_point{number}": bullet for number, bullet in enumerate(bullets, 1)},
        "generic_keywords": _keywords(rules, listing.keywords, title, name),
        "color_name": attribute(listing, "colour") or "/".join(listing.colours),
        "material_type": attribute(listing, "material"),
        "size_name": attribute(listing, "size"),
        "safety_warning": _statements(listing.warnings),
        "allergen_information": _allergens(listing),
        "manufacturer_contact_information": _statements(listing.makers),
    }


def amazon_flat_file(rows: Iterable[Mapping[str, str]]) -> str:
    """The tab-separated inventory file of rows: a header, then one line a product.

    Tabs and line breaks inside a value become a space, because the format has no other place for them. A value with a
    double quote is quoted, as spreadsheets write it.

    Raises:
        InvalidInput: there are no rows, or they differ in columns.
    """
    rows = list(rows)
    if not rows:
        raise InvalidInput("no rows; pass the results of to_amazon_flat")
    columns = list(rows[0])
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    for number, row in enumerate(rows):
        if list(row) != columns:
            raise InvalidInput(f"row {number} has other columns than row 0; write it to a separate file")
        writer.writerow(_BREAKS.sub(" ", row[column]) for column in columns)
    return stream.getvalue()


def _keywords(rules: Rules, keywords: Iterable[str], title: str, brand: str) -> str:
    """Search terms: single words that neither title nor brand has, within the limit of bytes."""
    text = ""
    for word in re.findall(r"[^\W_]+", " ".join(keywords).casefold()):
        longer = f"{text} {word}".strip()
        if (
            word in texts.SMALL_WORDS
            or word in text.split()
            or common_word(word, f"{title} {brand}")
            or list(faults(rules, "generic_keywords", longer, title=title))
        ):
            continue
        text = longer
    return text


def _statements(statements: Iterable[tuple[str, str]]) -> str:
    return " ".join(fix.statement(name, value) for name, value in statements if value.strip())


def _allergens(listing: ListingFields) -> str:
    every: tuple[Attribute | Statement, ...] = (*listing.attributes, *listing.warnings)
    return ", ".join(each.value for each in every if each.name.strip().casefold() in NAMES["allergens"])
