"""A structured listing of one product, and its conversion to what a sales channel takes. No connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitrina_client._channels import amazon, google, jsonld, shopify
from vitrina_client._channels.check import Breach, Channel, check_fields
from vitrina_client._channels.listing import ListingFields
from vitrina_client._channels.shopify import File
from vitrina_client._channels.values import Price
from vitrina_client._errors import InvalidInput


@dataclass(frozen=True)
class StructuredListing(ListingFields):
    """The listing of one product, field by field.

    Attributes:
        language: ``en`` or ``zh``.
        bullets: at most 5.
        description: the copy, edited.
        meta_title: at most 60 characters.
        meta_description: at most 160 characters.
        alt_text: what the photo shows, at most 125 characters.
        category: None if it is not known.
        missing: attributes that the category has and nobody gave.
        colours: of a closed list.
        faq: at most 5.
        warnings, makers: letter by letter as the shop gave them; every channel carries them unchanged.
        generated: how the text was made: ``by``, ``source`` and ``uri`` (IPTC digital source type).
    """

    def to_jsonld(
        self,
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
        """A schema.org ``@graph`` of a Product and, if there are questions, a FAQPage.

        Args:
            price: a number; without it there is no Offer.
            currency: ISO 4217 (``EUR``).
            availability: ``in_stock``, ``out_of_stock``, ``preorder`` or ``backorder``.

        Raises:
            InvalidInput: an argument is wrong.
        """
        return jsonld.build(self, **_arguments(locals()))

    def to_google(
        self,
        *,
        id: str,
        link: str,
        image_link: str,
        price: str,
        availability: str,
        condition: str = "new",
        brand: str | None = None,
        gtin: str | None = None,
        mpn: str | None = None,
    ) -> dict[str, Any]:
        """One product of Google Merchant Center, by the names of its product data specification.

        Args:
            price: number and currency (``24.99 EUR``).
            availability: ``in_stock``, ``out_of_stock``, ``preorder`` or ``backorder``.
            condition: ``new``, ``refurbished`` or ``used``.

        Raises:
            InvalidInput: an argument is wrong.
        """
        return google.convert(self, **_arguments(locals()))

    def to_shopify_csv(
        self,
        *,
        price: Price | None = None,
        sku: str | None = None,
        vendor: str | None = None,
        image: str | None = None,
        handle: str | None = None,
        file: File | None = None,
    ) -> str:
        """Shopify's product CSV: the header and one row, status ``draft``.

        Args:
            handle: of the product's URL; made of the title if left out.
            file: a path or a text stream; the CSV is written there too, as UTF-8.

        Raises:
            InvalidInput: an argument is wrong.
        """
        return shopify.convert(self, **_arguments(locals()))

    def to_amazon_flat(
        self,
        *,
        sku: str,
        product_type: str | None = None,
        brand: str | None = None,
        price: Price | None = None,
        quantity: int | None = None,
        image: str | None = None,
        product_id: str | None = None,
        product_id_type: str | None = None,
    ) -> dict[str, str]:
        """One row of an Amazon inventory file; :func:`~vitrina_client.amazon_flat_file` writes the file.

        Args:
            product_type: Amazon's name of it (``DRINKING_CUP``).
            product_id_type: ``EAN``, ``UPC``, ``GTIN`` or ``ASIN``.

        Raises:
            InvalidInput: an argument is wrong.
        """
        return amazon.convert(self, **_arguments(locals()))

    def check(self, channel: Channel, **arguments: Any) -> tuple[Breach, ...]:
        """The rules of a channel that its converter's output breaks; empty if there are none.

        Args:
            arguments: those of the converter; one left out that the channel requires is named as a breach.

        Raises:
            InvalidInput: an argument is wrong, or the channel is unknown.
        """
        if channel not in _BUILD:
            raise InvalidInput(f"channel={channel!r} is unknown; it is one of {', '.join(_BUILD)}")
        arguments.pop("file", None)
        try:
            product = _BUILD[channel](self, **arguments)
        except TypeError as error:
            raise InvalidInput(f"{channel}: {error}; pass the arguments of its converter") from error
        return check_fields(channel, product)


_BUILD: dict[str, Any] = {
    "jsonld": jsonld.build,
    "google": google.build,
    "shopify": shopify.build,
    "amazon": amazon.build,
}


def _arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "self"}
