"""JSON-LD: a product and its questions in the words of schema.org, for the product's own page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vitrina_client._channels.check import load
from vitrina_client._channels.values import (
    AVAILABILITY,
    Price,
    attribute,
    check_choice,
    check_text,
    format_price,
)
from vitrina_client._errors import InvalidInput

if TYPE_CHECKING:
    from vitrina_client._channels.listing import Attribute, ListingFields

_AVAILABILITY = dict(zip(AVAILABILITY, ("InStock", "OutOfStock", "PreOrder", "BackOrder"), strict=True))
#: IPTC digital source type → member of schema.org's IPTCDigitalSourceEnumeration.
_SOURCES = {
    "trainedAlgorithmicMedia": "TrainedAlgorithmicMediaDigitalSource",
    "compositeWithTrainedAlgorithmicMedia": "CompositeWithTrainedAlgorithmicMediaDigitalSource",
    "algorithmicallyEnhanced": "AlgorithmicallyEnhancedDigitalSource",
}


def build(
    listing: ListingFields,
    *,
    url: str | None = None,
    image: str | None = None,
    price: Price | None = None,
    currency: str | None = None,
    availability: str | None = None,
    sku: str | None = None,
    brand: str | None = None,
    gtin: str | None = None,
) -> dict[str, Any]:
    """The JSON-LD document; `StructuredListing.to_jsonld` has the arguments. Nothing that is missing is refused.

    ``digitalSourceType`` belongs to a CreativeWork, which a Product is not: the mark stands on the FAQPage, and on
    the text that the Product is `subjectOf`.
    """
    check_text(url=url, image=image, currency=currency, availability=availability, sku=sku, brand=brand, gtin=gtin)
    check_choice("availability", availability, AVAILABILITY)
    if currency and not re.fullmatch(r"[A-Z]{3}", currency):
        raise InvalidInput(f"currency={currency!r} must be an ISO 4217 code, such as EUR", field="currency")
    name = {"@id": f"{url or ''}#product"}
    product: dict[str, Any] = {
        "@type": "Product",
        **name,
        "name": listing.title,
        "description": listing.description,
        "url": url,
        "image": image,
        "sku": sku,
        "gtin": gtin,
        "brand": brand and {"@type": "Brand", "name": brand},
        "category": listing.category and " > ".join(listing.category.path),
        "color": attribute(listing, "colour") or ", ".join(listing.colours),
        "material": attribute(listing, "material"),
        "additionalProperty": _properties(listing),
        "offers": _offer(format_price(price), currency, availability, url),
        "subjectOf": listing.description
        and {
            "@type": "CreativeWork",
            "text": listing.description,
            "inLanguage": listing.language,
            **_mark(listing),
        },
    }
    graph = [{key: value for key, value in product.items() if value or key == "name"}]
    questions = [each for each in listing.faq if each.question.strip() and each.answer.strip()]
    if questions:
        graph.append(
            {
                "@type": "FAQPage",
                "about": name,
                "inLanguage": listing.language,
                **_mark(listing),
                "mainEntity": [
                    {
                        "@type": "Question",
                        "name": each.question,
                        "acceptedAnswer": {"@type": "Answer", "text": each.answer},
                    }
                    for each in questions
                ],
            }
        )
    return {"@context": "https://schema.org", "@graph": graph}


def _mark(listing: ListingFields) -> dict[str, str]:
    source = _SOURCES.get(listing.generated.get("source", "trainedAlgorithmicMedia"))
    mark = {"digitalSourceType": f"https://schema.org/{source}" if source else listing.generated.get("uri", "")}
    return mark | ({"creditText": listing.generated["by"]} if listing.generated.get("by") else {})


def _properties(listing: ListingFields) -> list[dict[str, Any]]:
    statements = (*listing.warnings, *listing.makers)
    properties = [_property(each) for each in listing.attributes if each.name.strip() and each.value.strip()]
    return properties + [
        {"@type": "PropertyValue", "name": name, "value": value} for name, value in statements if value
    ]


def _property(each: Attribute) -> dict[str, Any]:
    value: dict[str, Any] = {"@type": "PropertyValue", "name": each.name, "value": each.value}
    # "about 350 ml" and "350-400 ml" are more than 350 ml: only a bare figure becomes a number.
    figure = rf"\s*([0-9]+(?:\.[0-9]+)?)\s*{re.escape(each.unit)}\s*"
    match = re.fullmatch(figure, each.value, re.I) if each.number is not None and each.unit else None
    if match and float(match[1]) == each.number:
        value |= {"value": int(each.number) if each.number == int(each.number) else each.number, "unitText": each.unit}
        if code := (load("jsonld").units or {}).get(each.unit.casefold()):
            value["unitCode"] = code
    return value


def _offer(price: str, currency: str | None, availability: str | None, url: str | None) -> dict[str, str]:
    if not price:
        return {}
    offer = {"@type": "Offer", "price": price, "priceCurrency": currency or "", "url": url or ""}
    if availability:
        offer["availability"] = f"https://schema.org/{_AVAILABILITY[availability]}"
    return {key: value for key, value in offer.items() if value}
