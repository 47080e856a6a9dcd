"""Whatever text a listing holds, each channel's output holds to its rules and can be read back."""

import csv
import io
import json
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vitrina_client import (
    Attribute,
    Bullet,
    Category,
    Question,
    Statement,
    StructuredListing,
    amazon_flat_file,
    check_fields,
)

from tests.unit.client.listings import AMAZON, ARGUMENTS, GENERATED, JSONLD, SHOPIFY, parse_row

PIECES = re.findall(
    r"\S+",
    "mug Mug MUG STONEWARE FREE free shipping 包邮 特价 best seller 🔥 👩‍👩‍👧 1️⃣ <b> </b> &lt;i&gt; &amp; $5 5元 "
    "10^3 N/A TBD ™ ~ www.shop.com a@b.co +49301234567 and the of with , ; - ( ) not no sugar 350 ml 陶瓷 。 ！ . ! ? "
    "_ = \" ' #1 ACME® İ ß ﬁ 100% quality guarantee",
)
WORDS = st.sampled_from([*PIECES, "\t", "\n", "\r", "\0", "\u2028"])
SPAM = ["Mug", "MUG", "word " * 60, "x" * 300, "陶瓷杯" * 100, "STONEWARE MUG " * 20, "best seller mug " * 20]
TEXT = st.one_of(
    st.lists(WORDS, max_size=40).map(" ".join),
    st.lists(WORDS, max_size=20).map("".join),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40),
    st.sampled_from(SPAM),
)
STATEMENTS = st.lists(st.builds(Statement, st.just("Warning"), TEXT), max_size=2).map(tuple)
ATTRIBUTES = st.tuples(st.sampled_from(["material", "color", "容量"]) | TEXT, TEXT).map(lambda pair: Attribute(*pair))
LISTINGS = st.builds(
    StructuredListing,
    language=st.sampled_from(["en", "zh"]),
    title=TEXT,
    bullets=st.lists(TEXT.map(Bullet), max_size=5).map(tuple),
    description=TEXT,
    meta_title=TEXT,
    meta_description=TEXT,
    keywords=st.lists(TEXT, max_size=5).map(tuple),
    alt_text=TEXT,
    category=st.none() | st.builds(Category, st.lists(TEXT, max_size=3).map(tuple), st.just(1.0)),
    attributes=st.lists(ATTRIBUTES, max_size=3).map(tuple),
    colours=st.lists(st.sampled_from(["blue", "蓝色"]), max_size=4).map(tuple),
    faq=st.lists(st.tuples(TEXT, TEXT).map(lambda pair: Question(*pair)), max_size=2).map(tuple),
    warnings=STATEMENTS,
    makers=STATEMENTS,
    generated=st.just(GENERATED),
)
#: What only the input can mend: a text that holds no letter, or a statement that is longer than the channel takes.
MENDED_BY_INPUT = {"required", "max_chars 1000"}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(LISTINGS)
def test_whatever_comes_in_the_output_holds_to_the_rules(listing):
    for channel, arguments in ARGUMENTS.items():
        assert [breach for breach in listing.check(channel, **arguments) if breach.rule not in MENDED_BY_INPUT] == []
    assert StructuredListing.loads(json.dumps(listing.to_dict())) == listing
    json.dumps(listing.to_jsonld(**JSONLD))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(LISTINGS)
def test_whatever_comes_in_the_files_can_be_read_back(listing):
    row = parse_row(listing.to_shopify_csv(**SHOPIFY))
    assert check_fields("shopify", row) == listing.check("shopify", **SHOPIFY)
    made = listing.to_amazon_flat(**AMAZON)
    text = amazon_flat_file([made])
    header, *lines = text.rstrip("\n").split("\n")
    assert [line.count("\t") for line in lines] == [header.count("\t")]
    (read,) = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t")
    assert {name: "".join(value.split()) for name, value in read.items()} == {
        name: "".join(value.replace("\0", "").split()) for name, value in made.items()
    }
    for _, value in (*listing.warnings, *listing.makers):
        assert value in made["safety_warning"] + made["manufacturer_contact_information"] or not value.strip()
