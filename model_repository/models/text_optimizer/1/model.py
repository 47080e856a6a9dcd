"""What the text decoder wrote → TEXT as a shop may show it, EDITS, EVIDENCE, CONFLICTS and LISTING."""

import json
from typing import Any

from stages.claims import Claims
from stages.conflicts import conflicts
from stages.editing import edit, evidence, prepare
from stages.listing import make_listing, prepare_listing
from stages.prompts import Prompts
from stages.request import Request
from stages.taxonomy import Taxonomy
from stages.triton import Outputs, Step, text_rows


class TritonPythonModel(Step):
    def set_up(self) -> None:
        self.prompts = Prompts.load(self.folder / "prompts.json")
        self.taxonomy = Taxonomy.in_force()
        prepare()
        prepare_listing(self.taxonomy)

    def answer(self, request: Any) -> Outputs:
        outputs: dict[str, list[bytes]] = {"TEXT": [], "EDITS": [], "EVIDENCE": [], "CONFLICTS": [], "LISTING": []}
        for row in text_rows(request, "WRITTEN", "FINISHED", "REQUEST"):
            asked = Request.loads(row["REQUEST"])
            claims = Claims(asked)
            text, edits = edit(row["WRITTEN"].decode("utf-8"), row["FINISHED"].decode(), asked, self.prompts, claims)
            outputs["TEXT"].append(text.encode("utf-8"))
            outputs["EDITS"].append(_json([each._asdict() for each in edits]))
            outputs["EVIDENCE"].append(_json(evidence(text, claims)))
            outputs["CONFLICTS"].append(_json([each._asdict() for each in conflicts(claims.facts)]))
            outputs["LISTING"].append(_json(make_listing(asked, claims, text, self.taxonomy)))
        return outputs


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8")
