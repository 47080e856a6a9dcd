"""Shopify: the product CSV that its admin imports."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from vitrina_client._channels import fix
from vitrina_client._channels import text as texts
from vitrina_client._channels.check import Rules, load
from vitrina_client._channels.values import Price, check_text, format_price
from vitrina_client._errors import InvalidInput

if TYPE_CHECKING:
    from vitrina_client._channels.listing import ListingFields

File = str | os.PathLike[str] | TextIO

#: The header of Shopify's product template; importing reads columns by these names.
COLUMNS = re.split(
    ",",
    "Title,URL handle,Description,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,Barcode,"
    "Option1 name,Option1 value,Option1 Linked To,Option2 name,Option2 value,Option2 Linked To,Option3 name,"
    "Option3 value,Option3 Linked To,Price,Compare-at price,Cost per item,Charge tax,Tax code,"
    "Unit price total measure,Unit price total measure unit,Unit price base measure,Unit price base measure unit,"
    "Inventory tracker,Inventory quantity,Continue selling when out of stock,Weight value (grams),"
    "Weight unit for display,Requires shipping,Fulfillment service,Product image URL,Image position,Image alt text,"
    "Variant image URL,Gift card,SEO title,SEO description,Color (product.metafields.shopify.color-pattern),"
    "Google Shopping / Google product category,Google Shopping / Gender,Google Shopping / Age group,"
    "Google Shopping / Manufacturer part number (MPN),Google Shopping / Ad group name,Google Shopping / Ads labels,"
    "Google Shopping / Condition,Google Shopping / Custom product,Google Shopping / Custom label 0,"
    "Google Shopping / Custom label 1,Google Shopping / Custom label 2,Google Shopping / Custom label 3,"
    "Google Shopping / Custom label 4",
)


def convert(listing: ListingFields, *, file: File | None = None, **arguments: Any) -> str:
    """The CSV; `StructuredListing.to_shopify_csv` has the arguments."""
    if file is not None and not isinstance(file, str | os.PathLike) and not hasattr(file, "write"):
        raise InvalidInput(f"file is a {type(file).__name__}; pass a path or a text stream", field="file")
    row = build(listing, **arguments)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerow(row)
    text = stream.getvalue()
    if isinstance(file, str | os.PathLike):
        Path(file).write_text(text, encoding="utf-8", newline="")
    elif file is not None:
        file.write(text)
    return text


def build(
    listing: ListingFields,
    *,
    price: Price | None = None,
    sku: str | None = None,
    vendor: str | None = None,
    image: str | None = None,
    handle: str | None = None,
) -> dict[str, str]:
    """Column → text of the product's row."""
    check_text(sku=sku, vendor=vendor, image=image, handle=handle)
    rules = load("shopify")
    title = fix.fix_title(rules, "Title", listing.title)
    meta = listing.meta_description or fix.without_statements(listing)
    return dict.fromkeys(COLUMNS, "") | {
        "Title": title,
        "URL handle": handle or _handle(title) or _handle(sku or ""),
        "Description": _body(listing),
        "Vendor": vendor or "",
        "Type": texts.cut(listing.category.path[-1], 255) if listing.category and listing.category.path else "",
        "Tags": ", ".join(_tags(rules, (*listing.keywords, *listing.colours))),
        "Published on online store": "TRUE",
        "Status": "draft",  # a person looks before shoppers do
        "SKU": sku or "",
        "Option1 name": "Title",
        "Option1 value": "Default Title",
        "Price": format_price(price),
        "Continue selling when out of stock": "DENY",
        "Fulfillment service": "manual",
        "Product image URL": image or "",
        "Image position": "1" if image else "",
        "Image alt text": fix.fix_title(rules, "Image alt text", listing.alt_text) if image else "",
        "SEO title": fix.fix_title(rules, "SEO title", listing.meta_title or listing.title),
        "SEO description": fix.fix_title(rules, "SEO description", meta),
    }


def _handle(text: str) -> str:
    """Lower-case letters, digits and hyphens; Chinese letters are letters too."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return re.sub(r"[\W_]+", "-", plain.casefold()).strip("-")[:255].strip("-")


def _tags(rules: Rules, candidates: tuple[str, ...]) -> list[str]:
    rule = rules.fields["Tags"]
    tags: dict[str, str] = {}
    for candidate in candidates:
        tag = texts.tidy(candidate.replace(",", " "))
        if tag and len(tag) <= (rule.max_chars or 0):
            tags.setdefault(tag.casefold(), tag)
    return list(tags.values())[: rule.max_items]


def _body(listing: ListingFields) -> str:
    """The description as HTML: the generated part, marked as such, then warnings and makers as they were given."""
    paragraphs = [line.strip() for line in fix.without_statements(listing).splitlines()]
    html = "".join(f"<p>{escape(line, quote=False)}</p>" for line in paragraphs if line)
    points = "".join(f"<li>{escape(each.text, quote=False)}</li>" for each in listing.bullets if each.text.strip())
    html += f"<ul>{points}</ul>" if points else ""
    if html and listing.generated.get("uri"):
        html = f'<div data-digital-source-type="{escape(listing.generated["uri"])}">{html}</div>'
    statements = "".join(
        f"<p><strong>{escape(name, quote=False)}:</strong> {_lines(value)}</p>"
        for name, value in (*listing.warnings, *listing.makers)
        if value.strip()
    )
    return html + statements


def _lines(value: str) -> str:
    return escape(value, quote=False).replace("\n", "<br>\n")
