"""WebAnno TSV 3: layers, numbers, parts of tokens, offsets, what is escaped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tablert_dist.data import formats
from tablert_dist.schema import Entity, Relation, Sentence
from tests.support.annotated import people
from tests.support.webanno import HEADER, put, read, rows

WORDS = ("Edda", "Lund", "runs", "Brack")
EDDA, BRACK = Entity(0, 2, "Per"), Entity(3, 4, "Org")
PLAIN = ("1-1 0-4 Edda Per[1] _ _", "1-2 5-9 Lund Per[1] _ _", "1-3 10-14 runs _ _ _")
TEXT = "#Text=Edda Lund runs Brack\n"


def test_a_relation_stands_on_the_row_of_its_tail(tmp_path: Path) -> None:
    wanted = Sentence(WORDS, (EDDA, BRACK), (Relation(EDDA, BRACK, "runs"),))
    for source in ("1-1[1_0]", "1-2[1_0]", "1-1"):
        found, notes = read(put(tmp_path / "x", TEXT + rows(*PLAIN, f"1-4 15-20 Brack Org runs {source}")))
        assert found == [wanted] and notes == [] and found[0].text == "Edda Lund runs Brack"
    without = HEADER.replace("Relation|label", "Relation")
    text = TEXT + rows("1-1 0-4 Edda Per _", "1-2 5-9 Lund Per _", "1-3 10-14 runs _ _", "1-4 15-20 Brack Org 1-2")
    (sentence,), _ = read(put(tmp_path / "y", text, without))
    assert sentence.entities == (Entity(0, 1, "Per"), Entity(1, 2, "Per"), BRACK), "without numbers a span a row"
    assert sentence.relations == (Relation(Entity(1, 2, "Per"), BRACK, "Relation"),)


def test_spans_on_top_of_each_other_and_relations_on_top_of_each_other(tmp_path: Path) -> None:
    stacked = (
        "1-1 0-4 Edda Per[1]|Name[2] _ _",
        "1-2 5-9 Lund Per[1] _ _",
        "1-3 10-14 runs _ _ _",
        "1-4 15-20 Brack Org[3]|Loc[4] runs|in|* 1-1[1_3]|1-1[2_4]|1-1[2_3]",
    )
    found, notes = read(put(tmp_path / "x", TEXT + rows(*stacked)))
    name, place = Entity(0, 1, "Name"), Entity(3, 4, "Loc")
    assert found[0].entities == (EDDA, name, BRACK, place)
    assert found[0].relations == (Relation(EDDA, BRACK, "runs"), Relation(name, place, "in"))
    assert notes == ["1 relations without a label, left out"]


HEAD = "#FORMAT=WebAnno TSV 3.2\n"
POS = "#T_SP=de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS|PosValue\n"
NAMED = "#T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|identifier|value\n"
SLOTS = "#T_SP=webanno.custom.Frame|ROLE_webanno.custom.Frame:Roles_webanno.custom.Link|uima.tcas.Annotation|sort\n"
CHAIN = "#T_CH=de.tudarmstadt.ukp.dkpro.core.api.coref.type.CoreferenceLink|referenceType|referenceRelation\n"
TREE = (
    "#T_RL=de.tudarmstadt.ukp.dkpro.core.api.syntax.type.dependency.Dependency|DependencyType"
    "|BT_de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS\n"
)
LAYERS: dict[str, tuple[str, str, tuple[Entity, ...], list[str]]] = {
    "no layer": (HEAD, "1-1 0-4 Edda", (), []),
    "linguistic ones": (HEAD + POS + TREE, "1-1 0-4 Edda NNP ROOT 1-1", (), ["2"]),
    "entities beside": (HEAD + POS + NAMED + TREE, "1-1 0-4 Edda NNP Q7 Per ROOT 1-1", (Entity(0, 1, "Per"),), ["2"]),
    "several": (
        HEAD + NAMED + "#T_SP=custom.Span|sort\n",
        "1-1 0-4 Edda * Per Name",
        (Entity(0, 1, "Per"), Entity(0, 1, "Name")),
        [],
    ),
    "those with relations": (
        HEAD + "#T_SP=custom.A|sort\n#T_SP=custom.B|a|label\n#T_RL=custom.R|kind|BT_custom.B\n",
        "1-1 0-4 Edda X y Per kin 1-1",
        (Entity(0, 1, "Per"),),
        ["1"],
    ),
    "slots": (HEAD + SLOTS, "1-1 0-4 Edda who;what 1-1;1-1 Per", (Entity(0, 1, "Per"),), []),
    "no feature": (HEAD + "#T_SP=custom.Person|\n", "1-1 0-4 Edda *", (Entity(0, 1, "Person"),), []),
    "chains": (HEAD + CHAIN + NAMED, "1-1 0-4 Edda Per[1] coref->1-1 * Per", (Entity(0, 1, "Per"),), ["1"]),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers(case: str, tmp_path: Path) -> None:
    header, row, wanted, numbers = LAYERS[case]
    (sentence,), notes = read(put(tmp_path / "x", "\n\n#Text=Edda\n" + rows(row), header))
    assert sentence.entities == wanted
    assert notes == [f"{n} layers that are neither entities nor their relations, left out" for n in numbers]
    assert len(sentence.relations) == (case == "those with relations")


def test_parts_of_tokens_and_spans_of_nothing(tmp_path: Path) -> None:
    parts = (
        "1-1 0-4 Edda _ _ _",
        "1-1.1 0-3 Edd Per[1] _ _",
        "1-2 5-9 Lund Per[1] _ _",
        "1-2.1 7-7  Org to 1-1.1[1_0]",
        "1-3 10-14 runs * _ _",
        "1-4 15-20 Brack _ _ _",
        "1-4.1 16-20 rack Org[2] near 1-1.1[1_2]",
    )
    (sentence,), notes = read(put(tmp_path / "x", TEXT + rows(*parts)))
    assert sentence == Sentence(WORDS, (EDDA, BRACK), (Relation(EDDA, BRACK, "near"),))
    assert notes == [
        "1 entities of no characters, left out",
        "1 entities without a label, left out",
        "1 relations of an entity that was left out, left out",
        "1 entities that cut a word, widened to whole words",
    ]


def test_offsets_count_units_of_utf_16_from_the_sentence_on(tmp_path: Path) -> None:
    row = ("7-1 40-42 👩 _ _ _", "7-2 43-47 Edda Per _ _")
    (sentence,), notes = read(put(tmp_path / "x", "#Text=👩 Edda\n" + rows(*row)))
    assert sentence.words == ("👩", "Edda") and sentence.text == "👩 Edda" and notes == []
    row = ("7-1 40-41 👩 _ _ _", "7-2 42-46 Edda Per _ _")
    assert read(put(tmp_path / "x", "#Text=👩 Edda\n" + rows(*row))) == ([sentence], []), "as scripts write them"
    (indented,), notes = read(put(tmp_path / "x", "#Text= Edda\n" + rows("1-1 1-5 Edda Per _ _")))
    assert indented.text == " Edda" and notes == []


def test_what_is_escaped(tmp_path: Path) -> None:
    text = "#Sentence.id=a\\tb\n#Text=a\\\\b\n#Text=c\\rd\n"
    row = ("1-1 0-3 a\\b \\_\\[x\\]\\|y\\*\\->[1]|\\\\[2] _ _", "1-2 4-5 c _ r\\;s 1-1[1_2]", "1-3 6-7 d _ _ _")
    (sentence,), _ = read(put(tmp_path / "x", text + rows(*row)))
    assert sentence.text == "a\\b\nc\rd" and sentence.id == "a\tb" and sentence.words == ("a\\b", "c", "d")
    assert [e.type for e in sentence.entities] == ["_[x]|y*->", "\\"]
    assert [(r.head.type, r.tail.type, r.type) for r in sentence.relations] == [("_[x]|y*->", "\\", "r;s")]
    old = put(tmp_path / "y", "#Text=Sæby \\u00e9\\ud83d\\ude00\n" + rows("1-1 0-4 Sæby _ _ _", "1-2 5-8 é😀 _ _ _"))
    assert read(old)[0][0].words == ("Sæby", "é😀"), "as versions before 3.2"


def test_a_span_or_a_relation_across_sentences_is_left_out(tmp_path: Path) -> None:
    first = TEXT + rows(*PLAIN, "1-4 15-20 Brack Org[2] _ _")
    second = "#Text=Mills burn\n" + rows("2-1 21-26 Mills Org[2] by 1-1[1_2]", "2-2 27-31 burn Per[1] by 1-1[1_1]")
    found, notes = read(put(tmp_path / "x", first + "\n" + second))
    assert [s.entities for s in found] == [(EDDA,), (Entity(1, 2, "Per"),)]
    assert sorted(notes) == [
        "2 entities that cross the end of a sentence, left out",
        "2 relations across sentences, left out",
    ]
    again, notes = read(put(tmp_path / "y", first + "\n" + HEADER + second))
    assert [len(s.entities) for s in again] == [2, 2] and notes == ["2 relations across sentences, left out"], (
        "another header is another file, put behind the first"
    )


def test_what_is_written_is_of_inceptions_own_layers(tmp_path: Path) -> None:
    odd = Sentence(
        ("👩", "is", "Per|son"),
        (Entity(0, 1, "A_b"), Entity(0, 2, "*")),
        (),
        " ",
        None,
        "  👩 is\nPer|son",
        ((2, 3), (4, 6), (7, 14)),
    )
    written = formats.write([odd, people()[0], Sentence(("a\tb",))], tmp_path / "x.tsv", "webanno")
    assert written.lost == {
        ("texts", "white space before the first word is not held"): 1,
        ("ids", "a name of white space"): 1,
        ("sentences", "a word has a tab or a line break"): 1,
    }
    lines = (tmp_path / "x.tsv").read_text(encoding="utf-8").split("\n")
    assert lines[:8] == [
        "#FORMAT=WebAnno TSV 3.3",
        "#T_SP=custom.Span|label",
        "#T_RL=custom.Relation|label|BT_custom.Span",
        "",
        "",
        "#Text=👩 is",
        "#Text=Per|son",
        "1-1\t0-2\t👩\tA\\_b[1]|\\*[2]\t_\t_\t",
    ]  # fmt: skip
    assert lines[8:10] == ["1-2\t3-5\tis\t\\*[2]\t_\t_\t", "1-3\t6-13\tPer|son\t_\t_\t_\t"]
    assert "2-1\t14-18\tMira\tPer[3]\t_\t_\t" in lines, "offsets and numbers go through the file"
    assert "2-7\t41-48\tOstrava\tOrg[4]\tworks\t2-1[3_4]\t" in lines
