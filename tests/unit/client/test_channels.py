"""Listings of real products through every channel."""

import csv
import io
import json

import pytest
from vitrina_client import (
    Breach,
    InvalidInput,
    Statement,
    StructuredListing,
    amazon_flat_file,
    check_fields,
)
from vitrina_client._channels import text as texts
from vitrina_client._channels.shopify import COLUMNS

from tests.unit.client.listings import (
    AMAZON,
    ARGUMENTS,
    CUP,
    GENERATED,
    GOOGLE,
    JSONLD,
    MUG,
    SHOPIFY,
    WARNING,
    parse_row,
)


@pytest.mark.parametrize("listing", [MUG, CUP])
def test_json_survives_the_round_trip(listing):
    data = json.dumps(listing.to_dict())
    assert StructuredListing.loads(data) == listing
    assert StructuredListing.loads(data.encode()).to_dict() == json.loads(data)
    assert isinstance(StructuredListing.loads(data).bullets[0].facts, tuple)


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"language": "en"}', "null"])
def test_json_that_is_no_listing_is_refused(data):
    with pytest.raises(InvalidInput, match="no listing"):
        StructuredListing.loads(data)


@pytest.mark.parametrize("listing", [MUG, CUP])
@pytest.mark.parametrize("channel", ARGUMENTS)
def test_a_real_listing_breaks_no_rule(listing, channel):
    assert listing.check(channel, **ARGUMENTS[channel]) == ()


@pytest.mark.parametrize("channel", ARGUMENTS)
@pytest.mark.parametrize("listing", [MUG, CUP])
def test_warnings_and_makers_are_carried_letter_by_letter(listing, channel):
    def values(made):
        if isinstance(made, dict):
            return [value for each in made.values() for value in values(each)]
        if isinstance(made, list):
            return [value for each in made for value in values(each)]
        return [str(made)]

    if channel == "jsonld":
        found = values(listing.to_jsonld())
    elif channel == "google":
        found = values(listing.to_google(**GOOGLE))
    elif channel == "amazon":
        found = list(listing.to_amazon_flat(**AMAZON).values())
    else:
        body = parse_row(listing.to_shopify_csv())["Description"].replace("<br>\n", "\n")
        found = [body.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")]
    for _, value in (*listing.warnings, *listing.makers):
        assert any(value in each for each in found)


def test_jsonld_is_a_product_with_an_offer_and_questions():
    made = json.loads(json.dumps(MUG.to_jsonld(**JSONLD)))
    product, questions = made["@graph"]
    assert made["@context"] == "https://schema.org"
    assert (product["@type"], product["name"], product["material"]) == ("Product", MUG.title, "stoneware")
    assert product["category"] == "Home > Kitchen > Cups & Mugs"
    assert product["offers"] == {
        "@type": "Offer",
        "price": "14.90",
        "priceCurrency": "EUR",
        "url": JSONLD["url"],
        "availability": "https://schema.org/InStock",
    }
    properties = {each["name"]: each for each in product["additionalProperty"]}
    assert properties["capacity"] == {
        "@type": "PropertyValue",
        "name": "capacity",
        "value": 350,
        "unitText": "ml",
        "unitCode": "MLT",
    }
    assert properties["weight"]["value"] == "about 400 g"  # "about" is part of it
    assert questions["@type"] == "FAQPage"
    assert questions["about"] == {"@id": product["@id"]}
    for generated in (product["subjectOf"], questions):
        assert generated["digitalSourceType"] == "https://schema.org/TrainedAlgorithmicMediaDigitalSource"
    assert "digitalSourceType" not in product
    assert "offers" not in MUG.to_jsonld()["@graph"][0]


def test_google_marks_title_and_description_as_generated():
    made = MUG.to_google(**GOOGLE)
    for name in ("structured_title", "structured_description"):
        assert made[name]["digital_source_type"] == "trained_algorithmic_media"
    assert made["structured_title"]["content"] == MUG.title
    assert "title" not in made and "description" not in made
    assert made["product_type"] == "Home > Kitchen > Cups & Mugs"
    assert made["color"] == "blue"
    assert {"section_name": "Details", "attribute_name": "capacity", "attribute_value": "350 ml"} in made[
        "product_detail"
    ]
    assert made["product_highlight"] == [each.text for each in MUG.bullets]


def test_chinese_promotions_leave_title_and_description():
    made = CUP.to_google(**GOOGLE)
    assert made["structured_title"]["content"] == "北欧风陶瓷马克杯 350毫升"
    assert made["structured_description"]["content"] == "这款马克杯采用陶瓷制成。容量350毫升。"
    assert CUP.to_amazon_flat(**AMAZON)["bullet_point1"] == "陶瓷材质；容量350毫升"


def test_shopify_has_its_template_s_columns(tmp_path):
    text = MUG.to_shopify_csv(**SHOPIFY, file=tmp_path / "mug.csv")
    assert (tmp_path / "mug.csv").read_bytes().decode() == text
    row = parse_row(text)
    assert list(row) == COLUMNS
    assert row["Title"] == MUG.title
    assert row["URL handle"] == "nordic-stoneware-mug-350-ml"
    assert row["Tags"] == "stoneware, mug, coffee cup, new, blue"
    assert "<ul><li>It is made of stoneware.</li>" in row["Description"]
    assert GENERATED["uri"] in row["Description"]
    assert (row["Price"], row["SEO title"], row["Status"]) == ("14.90", MUG.meta_title, "draft")


def test_amazon_bullets_end_without_punctuation_and_keywords_repeat_no_title_word():
    row = MUG.to_amazon_flat(**AMAZON)
    assert row["bullet_point1"] == "It is made of stoneware"
    assert row["bullet_point3"] == "It is dishwasher safe"
    assert row["generic_keywords"] == "coffee cup"


def test_amazon_file_has_one_line_a_product():
    rows = [MUG.to_amazon_flat(**AMAZON), CUP.to_amazon_flat(**AMAZON)]
    text = amazon_flat_file(rows)
    read = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t"))
    assert [each["item_name"] for each in read] == [each["item_name"] for each in rows]
    assert {line.count("\t") for line in text.splitlines()} == {len(rows[0]) - 1}
    assert read[0]["safety_warning"] == f"Warning: {WARNING}".replace("\n", " ").replace("\t", " ")
    with pytest.raises(InvalidInput, match="no rows"):
        amazon_flat_file([])
    with pytest.raises(InvalidInput, match="other columns"):
        amazon_flat_file([rows[0], {"item_sku": "1"}])


@pytest.mark.parametrize(
    ("title", "fixed"),
    [
        ("BEST SELLER!!! NORDIC STONEWARE MUG", "Nordic Stoneware MUG"),
        ("Mug 🔥🔥 free shipping", "Mug"),
        ("Mug mug MUG mug cup", "Mug mug cup"),
        ("Box 10 cm x 10 cm x 10 cm", "Box 10 cm x 10 cm x 10 cm"),
        ("Bread sugar free, dairy free, gluten free", "Bread sugar free, dairy free"),
        ("For kids, not for ovens, not for fires, not for boats", "For kids, not for ovens, not for fires"),
        ("Sugar free gluten free dairy free bread", "Sugar free gluten free"),
        ("Mug <b>blue</b> &amp; white $5", "Mug blue & white"),
        ("Mug, visit www.shop.example or call +49 30 1234567", "Mug"),
        ("Board 10^3 fibres", "Board fibres"),
        ("USB_C cable", "USB C cable"),
        ("Toys! mug", "Toys! mug"),
        ("🔥🔥", ""),
    ],
)
def test_amazon_titles_are_cleaned_and_never_say_more(title, fixed):
    listing = StructuredListing(language="en", title=title)
    assert listing.to_amazon_flat(**AMAZON | {"brand": "Toys!"})["item_name"] == fixed


def test_a_long_title_ends_with_a_whole_word_that_is_not_left_dangling():
    title = "Hand thrown stoneware mug with a wide handle and a speckled glaze for the " + "coffee " * 40
    made = StructuredListing(language="en", title=title).to_google(**GOOGLE)["structured_title"]["content"]
    assert len(made) <= 150 and title.startswith(made) and made.endswith("coffee")
    assert texts.cut("A mug with a handle", 13) == "A mug"
    assert texts.cut("A mug (blue one)", 12) == "A mug"
    assert texts.cut("Bread with seeds sugar free", 23) == "Bread with seeds"
    assert texts.cut("这款饼干不含糖", 5) == "这款饼干"


def test_a_warning_in_the_description_is_moved_whole():
    listing = StructuredListing(
        language="en",
        title="Toy",
        description=f"A toy of wood. Warning: {WARNING}",
        warnings=(Statement("Warning", WARNING),),
    )
    row = listing.to_amazon_flat(**AMAZON)
    assert row["product_description"] == "A toy of wood."
    assert row["safety_warning"] == f"Warning: {WARNING}"


def test_part_of_a_sentence_is_not_taken_out_of_a_description():
    listing = StructuredListing(
        language="en",
        title="Toy",
        description="Warning: Keep dry and away from fire. A toy.",
        warnings=(Statement("Warning", "Keep dry"),),
    )
    assert listing.to_amazon_flat(**AMAZON)["product_description"] == listing.description


@pytest.mark.parametrize(
    ("channel", "arguments", "field"),
    [
        ("amazon", AMAZON | {"brand": None}, "brand_name"),
        ("amazon", {}, "item_sku"),
        ("google", GOOGLE | {"brand": None}, "brand"),
        ("google", GOOGLE | {"gtin": "4006381333932"}, "gtin"),
        ("google", {}, "link"),
        ("jsonld", JSONLD | {"currency": None}, "Product.offers.priceCurrency"),
        ("jsonld", {}, "Product.offers.price"),
        ("shopify", SHOPIFY | {"vendor": "N"}, "Vendor"),
    ],
)
def test_what_only_the_shop_can_give_is_named(channel, arguments, field):
    breaches = MUG.check(channel, **arguments)
    assert field in {breach.field for breach in breaches}
    assert all(isinstance(breach, Breach) and breach.fix and breach.channel == channel for breach in breaches)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: MUG.to_jsonld(price="cheap"), "price"),
        (lambda: MUG.to_jsonld(price=-1), "price"),
        (lambda: MUG.to_jsonld(currency="euro"), "4217"),
        (lambda: MUG.to_jsonld(availability="soon"), "in_stock"),
        (lambda: MUG.to_google(**GOOGLE | {"price": "14.90"}), "number and a currency code"),
        (lambda: MUG.to_google(**GOOGLE | {"id": " "}), "empty"),
        (lambda: MUG.to_google(**GOOGLE | {"condition": "old"}), "refurbished"),
        (lambda: MUG.to_amazon_flat(**AMAZON | {"quantity": -1}), "whole number"),
        (lambda: MUG.to_amazon_flat(**AMAZON | {"brand": 7}), "text"),
        (lambda: MUG.check("ebay"), "unknown"),
        (lambda: MUG.check("amazon", colour="blue"), "arguments of its converter"),
        (lambda: check_fields("ebay", {}), "unknown"),
        (lambda: check_fields("amazon", []), "mapping"),
    ],
)
def test_a_wrong_argument_is_refused(call, match):
    with pytest.raises(InvalidInput, match=match):
        call()


def rules_broken(channel, fields):
    return {(breach.field, breach.rule.split()[0]) for breach in check_fields(channel, fields)}


def test_fields_that_a_shop_made_are_checked():
    title = "MUG MUGS MUG best seller! $5 CERAMIC STONEWARE 🔥 MUG " + "x" * 200
    found = rules_broken(
        "amazon", {"item_name": title, "bullet_point2": "N/A.", "generic_keywords": "mug " + "y" * 250}
    )
    for rule in ("max_chars", "max_repeats", "characters", "promotion", "price", "emoji"):
        assert ("item_name", rule) in found
    for rule in ("min_chars", "placeholder", "end_punctuation"):
        assert ("bullet_point2", rule) in found
    assert {("generic_keywords", "max_bytes"), ("generic_keywords", "title_words")} <= found
    assert ("item_name", "best_chars") in rules_broken("amazon", {"item_name": "x" * 76})
    found = rules_broken("google", {"product_highlight": ["特价", "y" * 151]})
    assert {("product_highlight[0]", "promotion"), ("product_highlight[1]", "max_chars")} <= found
    assert ("product_highlight", "min_items") in rules_broken("google", {"product_highlight": ["one"]})
    found = rules_broken("shopify", {"Title": "a", "Tags": ",".join(["t"] * 251), "SEO description": "d" * 321})
    assert {("Tags", "max_items"), ("SEO description", "max_chars")} <= found
    assert ("Product.name", "required") in rules_broken("jsonld", {"@type": "Product"})
