"""The spaCy component: what `tablert predict` finds, in a pipeline that is written, read, batched and sent to processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy import displacy
from spacy.tokens import Doc, DocBin

from tablert_dist.errors import InputError
from tablert_dist.inference.predictor import Predictor
from tablert_dist.inference.spacy_component import arcs
from tests.support import GOLDEN, ROOT

BUNDLE = GOLDEN / "bundle" / "cnn-fp32"
TEXTS = [
    "Ada works at Acme near Oslo .",
    "Ada Bo works at Acme near Oslo near Oslo .",
    "   ",
    "👩‍🚀 Ada\tBo works at Acme. Ada works at Acme  near Oslo!",
    "Ada-Acme near (Oslo).",
]  # fmt: skip


def made(**config: Any) -> spacy.Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("tablert", config={"model": str(BUNDLE), **config})
    return nlp


def triples(doc: Doc) -> list[tuple[Any, ...]]:
    return [(r.head.text, r.head.label_, r.type, r.tail.text, r.triple_probability) for r in doc._.relations]


def expected(text: str) -> list[tuple[Any, ...]]:
    found = Predictor.load(BUNDLE).predict(text)
    return [(r.head.text, r.head.type, r.type, r.tail.text, r.triple_probability) for r in found.relations]


def test_a_pipeline_gives_predicts_triples_also_from_disk(tmp_path: Path) -> None:
    nlp = made()
    before = [nlp(text) for text in TEXTS[:4]]
    assert [triples(doc) for doc in before] == [expected(text) for text in TEXTS[:4]] and triples(before[0])
    elsewhere = tmp_path / "moved"
    shutil.copytree(BUNDLE, elsewhere)
    moved = made(model=str(elsewhere))
    moved.to_disk(tmp_path / "pipeline")
    shutil.rmtree(elsewhere)
    again = spacy.load(tmp_path / "pipeline")
    assert [triples(doc) for doc in again.pipe(TEXTS[:4])] == [triples(doc) for doc in before]
    again.to_disk(tmp_path / "pipeline")
    again.to_disk(tmp_path / "second")
    assert triples(spacy.load(tmp_path / "second")(TEXTS[1])) == triples(before[1])


def test_entities_are_spans_with_the_exact_characters_beside_them() -> None:
    doc = made()(TEXTS[4])
    exact = Predictor.load(BUNDLE).predict(TEXTS[4])
    assert [(e["start"], e["end"]) for e in doc._.tablert["entities"]] == [(e.start, e.end) for e in exact.entities]
    for span, entity in zip(doc.spans["tablert"], exact.entities, strict=True):
        assert span.start_char <= entity.start and entity.end <= span.end_char and span.label_ == entity.type
    assert {(e.start, e.end) for e in doc.ents} <= {(s.start, s.end) for s in doc.spans["tablert"]}


def test_what_other_components_found_stays_or_goes() -> None:
    def with_ruler(**config: Any) -> Doc:
        nlp = spacy.blank("en")
        nlp.add_pipe("entity_ruler").add_patterns([{"label": "VERB", "pattern": "works at Acme"}])  # type: ignore[attr-defined]
        nlp.add_pipe("tablert", config={"model": str(BUNDLE), **config})
        return nlp(TEXTS[0])

    kept, replaced = with_ruler(overwrite_ents=False), with_ruler()
    assert "VERB" in {e.label_ for e in kept.ents} and "VERB" not in {e.label_ for e in replaced.ents}
    assert {e.label_ for e in kept.ents} > {"VERB"} and len(kept.spans["tablert"]) == len(replaced.spans["tablert"])
    assert [e.label_ for e in with_ruler(ents=False).ents] == ["VERB"]


def test_documents_keep_their_relations_when_they_are_written() -> None:
    nlp = made()
    doc = nlp(TEXTS[1])
    read = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert triples(read) == triples(doc) and triples(doc)
    box = DocBin(docs=[doc], store_user_data=True)
    assert triples(next(iter(DocBin(store_user_data=True).from_bytes(box.to_bytes()).get_docs(nlp.vocab)))) == triples(
        doc
    )


def test_batches_and_processes_give_the_same() -> None:
    texts = TEXTS[:2] * 5
    one = [triples(doc) for doc in map(made(), texts)]
    rounded = [[(*t[:4], pytest.approx(t[4], abs=1e-5)) for t in found] for found in one]
    assert [triples(doc) for doc in made().pipe(texts, batch_size=3)] == rounded
    code = (
        "import json, spacy, sys\n"
        "if __name__ == '__main__':\n"
        "    nlp = spacy.blank('en')\n"
        "    nlp.add_pipe('tablert', config={'model': sys.argv[1], 'predict': {'threads': 1}})\n"
        "    docs = nlp.pipe(json.loads(sys.argv[2]), n_process=2, batch_size=3)\n"
        "    print(json.dumps([[(r.head.text, r.type, r.tail.text) for r in d._.relations] for d in docs]))\n"
    )
    words = [sys.executable, "-c", code, str(BUNDLE), json.dumps(texts)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [[tuple(t) for t in d] for d in json.loads(done.stdout)] == [[(t[0], t[2], t[3]) for t in d] for d in one]


def test_a_text_that_cannot_be_read_goes_to_the_error_handler() -> None:
    nlp = made(predict={"on_overflow": "error"})
    long = "Ada works at Acme near Oslo . " * 200
    texts = [TEXTS[0], long.replace(". ", ", "), TEXTS[1]]
    with pytest.raises(InputError):
        list(nlp.pipe(texts))
    met: list[tuple[str, Exception]] = []
    nlp.set_error_handler(lambda name, component, docs, error: met.append((docs[0].text, error)))
    found = list(nlp.pipe(texts))
    assert [doc.text for doc in found] == [texts[0], texts[2]] and [text for text, _ in met] == [texts[1]]


def test_displacy_draws_the_relations() -> None:
    doc = made()(TEXTS[0])
    drawing = arcs(doc)
    assert len(drawing["words"]) == len(doc) and len(drawing["arcs"]) == len(doc._.relations) > 0
    svg = displacy.render(drawing, style="dep", manual=True, jupyter=False)
    assert svg.startswith("<svg") and doc._.relations[0].type in svg


@pytest.mark.parametrize(
    ("config", "said"), [({"model": None}, 'give config={"model": "bundle"}'), ({"model": "nowhere"}, "nowhere")]
)
def test_a_missing_model_is_a_sentence(config: dict[str, Any], said: str, tmp_path: Path) -> None:
    nlp = made(**config)
    with pytest.raises(InputError, match=said):
        nlp("Ada works .")
    if config["model"] is None:
        with pytest.raises(InputError, match="no model to write"):
            nlp.to_disk(tmp_path / "pipeline")
