"""Google Merchant Center: one product, by the attribute names of its product data specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vitrina_client._channels import fix
from vitrina_client._channels.check import load
from vitrina_client._channels.values import (
    AVAILABILITY,
    NAMES,
    attribute,
    check_choice,
    check_price_with_currency,
    check_required,
    check_text,
)

if TYPE_CHECKING:
    from vitrina_client._channels.listing import ListingFields

CONDITIONS = ("new", "refurbished", "used")
_SECTIONS = {
    "en": ("Details", "Warnings", "Responsible parties"),
    "zh": ("详情", "警示", "责任方"),
}


def convert(listing: ListingFields, **arguments: Any) -> dict[str, Any]:
    """The product; `StructuredListing.to_google` has the arguments."""
    check_required(**{name: arguments[name] for name in ("id", "link", "image_link", "price", "availability")})
    return build(listing, **arguments)


def build(
    listing: ListingFields,
    *,
    id: str = "",
    link: str = "",
    image_link: str = "",
    price: str = "",
    availability: str = "",
    condition: str = "new",
    brand: str | None = None,
    gtin: str | None = None,
    mpn: str | None = None,
) -> dict[str, Any]:
    """The same without refusing what is missing."""
    check_text(id=id, link=link, image_link=image_link, availability=availability, brand=brand, gtin=gtin, mpn=mpn)
    check_choice("availability", availability, AVAILABILITY)
    check_choice("condition", condition, CONDITIONS)
    check_price_with_currency(price)
    rules = load("google")
    points = [each.text for each in listing.bullets]
    description = fix.without_statements(listing)
    name = "structured_description.content"
    most = rules.fields["product_highlight"].max_items or 0
    highlights = fix.fix_points(rules, "product_highlight", points, most=most, brand=brand or "")
    product = {
        "id": id,
        "structured_title": _generated(
            fix.fix_title(rules, "structured_title.content", listing.title, brand=brand or "")
        ),
        "structured_description": _generated(
            fix.fix_text(rules, name, description, brand=brand or "")
            or fix.fix_text(rules, name, "\n".join(points), brand=brand or "")
        ),
        "link": link,
        "image_link": image_link,
        "price": price,
        "availability": availability,
        "condition": condition,
        "brand": brand,
        "gtin": gtin,
        "mpn": mpn,
        "product_highlight": highlights if len(highlights) > 1 else [],
        "product_detail": _details(listing),
        "color": _within("color", attribute(listing, "colour") or "/".join(listing.colours[:3])),
        "material": _within("material", attribute(listing, "material")),
        "size": _within("size", attribute(listing, "size")),
        "product_type": _within("product_type", " > ".join(listing.category.path) if listing.category else ""),
    }
    return {key: value for key, value in product.items() if value}


def _generated(content: str) -> dict[str, str]:
    return {"digital_source_type": "trained_algorithmic_media", "content": content}


def _within(name: str, value: str) -> str:
    """The value, or nothing: half a value is another one."""
    most = load("google").fields[name].max_chars
    return value if most is None or len(value) <= most else ""


def _details(listing: ListingFields) -> list[dict[str, str]]:
    sections = _SECTIONS.get(listing.language, _SECTIONS["en"])
    rows = []
    for each in listing.attributes:
        fits = _within("product_detail[].attribute_value", each.value) and _within(
            "product_detail[].attribute_name", each.name
        )
        if each.name.strip() and (fits or each.name.strip().casefold() in NAMES["allergens"]):
            rows.append((sections[0], each.name, each.value))
    rows += [(sections[1], name, value) for name, value in listing.warnings]
    rows += [(sections[2], name, value) for name, value in listing.makers]
    return [
        {"section_name": section, "attribute_name": name or section, "attribute_value": value}
        for section, name, value in rows
        if value.strip()
    ]
