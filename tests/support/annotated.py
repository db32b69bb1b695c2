"""Annotated sentences for tests of formats: the four that every file in tests/data holds, and random ones."""

from __future__ import annotations

from hypothesis import strategies as st

from tablert_dist.schema import Entity, Relation, Sentence
from tests.support import DATA

FOLDER = DATA
FILES = {
    "people.spert.json": "spert",
    "people.bilou.json": "bilou",
    "people.dygie.jsonl": "dygie",
    "brat": "brat",
    "people.conll": "conll",
    "people.labelstudio.json": "labelstudio",
    "people.labelstudio-predictions.json": "labelstudio-predictions",
    "people.spacy": "spacy",
    "hf": "hf",
    "people.parquet": "hf",
    "people.jsonl": "jsonl",
    "people.doccano.jsonl": "doccano",
    "people.prodigy.jsonl": "prodigy",
    "people.gliner.json": "gliner",
    "people.webanno.tsv": "webanno",
}
TEXTS = [
    "Mira Holt, an engineer at Ostrava Looms, was born in Vellmark.",
    "Tolve & Sons moved from Brack to Nordhavn.",
    "It rained all day.",
    "Jonas Ebel’s sister Ida runs the mill in Sæby.",
]


WORDS = [
    "Mira Holt , an engineer at Ostrava Looms , was born in Vellmark .",
    "Tolve & Sons moved from Brack to Nordhavn .",
    "It rained all day .",
    "Jonas Ebel ’ s sister Ida runs the mill in Sæby .",
]


def people() -> list[Sentence]:
    """What the files in tests/data say."""
    mira, looms, vellmark = Entity(0, 2, "Per"), Entity(6, 8, "Org"), Entity(12, 13, "Loc")
    tolve, brack, nordhavn = Entity(0, 3, "Org"), Entity(5, 6, "Loc"), Entity(7, 8, "Loc")
    jonas, ida, saeby = Entity(0, 2, "Per"), Entity(5, 6, "Per"), Entity(10, 11, "Loc")
    first, second, third, fourth = (tuple(line.split()) for line in WORDS)
    works, born = Relation(mira, looms, "works"), Relation(mira, vellmark, "born")
    kin, runs = Relation(ida, jonas, "kin"), Relation(ida, saeby, "works")
    based = Relation(tolve, nordhavn, "based")
    return [
        Sentence(first, (mira, looms, vellmark), (works, born), "harbour.0", "harbour"),
        Sentence(second, (tolve, brack, nordhavn), (based,), "harbour.1", "harbour"),
        Sentence(third, (), (), "mill.0", "mill"),
        Sentence(fourth, (jonas, ida, saeby), (kin, runs), "mill.1", "mill"),
    ]


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ODD = [
    "#",
    "#doc",
    "-DOCSTART-",
    "[0]",
    "['N']",
    "T1",
    "don't",
    "New York",
    "a\tb",
    "x\r",
    "B-Per",
    "O",
    "👩‍🚀",
    "1-2",
    "\u200b",
]
NAMES = st.one_of(st.none(), st.sampled_from(["a", "b", "a/b", " a", "", "d\n1"]))
TYPES = ["Per", "Org", "two words", "B-X", "Straße"]


@st.composite
def any_sentences(draw: st.DrawFn) -> Sentence:
    """Whatever a Sentence can be: overlaps, duplicates, self-relations, odd words, with or without its text."""
    word = st.one_of(st.sampled_from(ODD), st.text(CHARACTERS, min_size=1, max_size=5).filter(lambda w: w.strip()))
    words = draw(st.lists(word, min_size=1, max_size=7))
    spans = st.tuples(st.integers(0, len(words) - 1), st.integers(1, 3), st.sampled_from(TYPES))
    entities = [Entity(a, min(a + n, len(words)), t) for a, n, t in draw(st.lists(spans, max_size=4))]
    relations = []
    if entities:
        pick = st.sampled_from(entities)
        pairs = st.tuples(pick, pick, st.sampled_from(["works", "N", "kin to"]))
        relations = [Relation(*pair) for pair in draw(st.lists(pairs, max_size=4))]
    text, offsets = None, None
    if draw(st.booleans()):
        gaps = draw(st.lists(st.sampled_from(["", " ", "  ", "\n"]), min_size=len(words) + 1, max_size=len(words) + 1))
        text, found = gaps[0], []
        for w, gap in zip(words, gaps[1:], strict=True):
            found.append((len(text), len(text) + len(w)))
            text += w + gap
        offsets = tuple(found)
    return Sentence(
        tuple(words), tuple(entities), tuple(relations), draw(NAMES), draw(NAMES), text=text, offsets=offsets
    )


def canonical(sentence: Sentence) -> tuple[tuple[str, ...], list[Entity], list[Relation]]:
    """Words, entities and relations whatever their order: some formats keep none."""
    return sentence.words, sorted(sentence.entities), sorted(sentence.relations)
