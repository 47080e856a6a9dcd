"""Two real listings, and what a shop adds to them for each channel."""

import csv
import io

from vitrina_client import Attribute, Bullet, Category, Question, Statement, StructuredListing

WARNING = 'WARNING! Choking hazard: small parts <3 yrs, call +49 30 1234567.\n"Keep" away\tfrom $5 fire 🔥'
MAKER = "ACME GmbH, Hauptstraße 1, 10115 Berlin, info@acme.example, www.acme.example"
GENERATED = {
    "by": "Vitrina",
    "source": "trainedAlgorithmicMedia",
    "uri": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
}
MUG = StructuredListing(
    language="en",
    title="Nordic stoneware mug, 350 ml",
    bullets=(
        Bullet("It is made of stoneware.", (3,)),
        Bullet("It holds 350 ml.", (1,)),
        Bullet("It is dishwasher safe!", (4,)),
    ),
    description="A mug of stoneware. It holds 350 ml.",
    meta_title="Nordic stoneware mug, 350 ml",
    meta_description="A stoneware mug that holds 350 ml.",
    keywords=("stoneware", "mug", "coffee cup", "new"),
    alt_text="A blue mug on a table",
    category=Category(("Home", "Kitchen", "Cups & Mugs"), 0.9),
    attributes=(
        Attribute("capacity", "350 ml", 350.0, "ml", "title", 1.0, 1),
        Attribute("material", "stoneware", None, "", "attribute", 1.0, 3),
        Attribute("weight", "about 400 g", 400.0, "g", "attribute", 1.0, 5),
    ),
    missing=("dimensions",),
    colours=("blue",),
    faq=(Question("What is it made of?", "It is made of stoneware.", (3,)),),
    warnings=(Statement("Warning", WARNING),),
    makers=(Statement("Manufacturer", MAKER),),
    generated=GENERATED,
)
CUP = StructuredListing(
    language="zh",
    title="北欧风陶瓷马克杯 350毫升 包邮",
    bullets=(Bullet("陶瓷材质。"), Bullet("容量350毫升。"), Bullet("可用洗碗机清洗，方便日常使用。")),
    description="这款马克杯采用陶瓷制成。容量350毫升。限时特价！",
    meta_title="北欧风陶瓷马克杯",
    meta_description="陶瓷马克杯，容量350毫升。",
    keywords=("陶瓷", "水杯", "咖啡杯"),
    alt_text="桌上的蓝色杯子",
    category=Category(("家居", "厨房", "杯子"), 0.8),
    attributes=(Attribute("容量", "350毫升", 350.0, "毫升"), Attribute("材质", "陶瓷"), Attribute("过敏原", "无")),
    colours=("蓝色",),
    faq=(Question("是什么材质？", "陶瓷。"),),
    warnings=(Statement("警告", "小心烫伤！请勿在明火上使用。"),),
    makers=(Statement("制造商", "景德镇某某陶瓷有限公司，电话 0798-1234567"),),
    generated=GENERATED,
)
GOOGLE = {
    "id": "mug-1",
    "link": "https://shop.example/mug",
    "image_link": "https://shop.example/mug.jpg",
    "price": "14.90 EUR",
    "availability": "in_stock",
    "brand": "Nordlys",
    "gtin": "4006381333931",
}
JSONLD = {
    "url": "https://shop.example/mug",
    "image": "https://shop.example/mug.jpg",
    "price": 14.9,
    "currency": "EUR",
    "availability": "in_stock",
    "brand": "Nordlys",
    "gtin": "4006381333931",
}
SHOPIFY = {"price": 14.9, "sku": "mug-1", "vendor": "Nordlys", "image": "https://shop.example/mug.jpg"}
AMAZON = {
    "sku": "mug-1",
    "product_type": "DRINKING_CUP",
    "brand": "Nordlys",
    "price": "14.90",
    "quantity": 3,
    "image": "https://shop.example/mug.jpg",
    "product_id": "4006381333931",
    "product_id_type": "EAN",
}
ARGUMENTS = {"jsonld": JSONLD, "google": GOOGLE, "shopify": SHOPIFY, "amazon": AMAZON}


def parse_row(text):
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 1
    return rows[0]
