"""Splits that keep together what belongs together, keep the types' shares, and come out the same for a seed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.cli.data_sample import command as sample
from tablert_dist.cli.data_split import command as split
from tablert_dist.config import DataConfig
from tablert_dist.data import formats, load_corpus
from tablert_dist.data.ade_folds import load_folds, rebuild
from tablert_dist.data.annotated import spert_bytes
from tablert_dist.data.partition import folds, groups_of, nested_samples, partition
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence
from tests.support.tiny import sentences, tiny_records

PARTS = {"train": 0.8, "dev": 0.1, "test": 0.1}
some_documents = st.lists(
    st.builds(lambda s, d: replace(s, document=d), sentences(), st.sampled_from([None, "a", "b", "c", "d", "e", "f"])),
    min_size=1,
    max_size=40,
)


def run(command: Any, *words: Any) -> Result:
    return CliRunner().invoke(command, [str(w) for w in words])


@given(some_documents)
def test_groups_are_the_components_of_sharing_a_document_or_the_words(found: list[Sentence]) -> None:
    groups = groups_of(found)
    assert sorted(i for g in groups for i in g) == list(range(len(found)))
    where = {i: k for k, group in enumerate(groups) for i in group}
    for i, a in enumerate(found):
        for j, b in enumerate(found):
            if a.words == b.words or (a.document is not None and a.document == b.document):
                assert where[i] == where[j]
    # And no larger than they have to be: a group that has two halves without a tie would be two groups.
    for group in groups:
        reached, todo = {group[0]}, [group[0]]
        while todo:
            a = found[todo.pop()]
            near = [j for j in group if found[j].words == a.words or (a.document and found[j].document == a.document)]
            todo += [j for j in near if j not in reached]
            reached |= set(near)
        assert reached == set(group)


@given(some_documents, st.integers(0, 5), st.sampled_from(["document", "sentence"]))
def test_every_sentence_is_in_one_part_and_no_group_in_two(found: list[Sentence], seed: int, by: Any) -> None:
    try:
        parts = partition(found, PARTS, seed, by)
    except InputError:
        return
    assert sorted(i for chosen in parts.values() for i in chosen) == list(range(len(found)))
    assert all(chosen == sorted(chosen) and chosen for chosen in parts.values())
    for group in groups_of(found, by):
        assert sum(bool(set(group) & set(chosen)) for chosen in parts.values()) == 1
    assert partition(found, PARTS, seed, by) == parts


def test_a_part_without_a_group_is_refused() -> None:
    (one,) = formats_of(tiny_records(1))
    with pytest.raises(InputError, match=r"1 groups of sentences .* cannot make 3 parts"):
        partition([one] * 9, PARTS, 1)
    other = replace(one, words=("Bo", *one.words[1:]))
    with pytest.raises(InputError, match="cannot make 3 parts"):
        partition([one, other], PARTS, 1)
    with pytest.raises(InputError, match="at least 2 folds"):
        folds([one, other], 1, 1)


def formats_of(records: list[dict[str, Any]]) -> list[Sentence]:
    from tablert_dist.data.formats import spert
    from tablert_dist.data.formats.notes import Notes

    return [s for record in records for s in spert._sentence(record, "", Notes())]


@pytest.fixture(scope="module")
def corpora(data_root: Path) -> dict[str, list[Sentence]]:
    """CoNLL04's training sentences; ADE with nine sentences a document."""
    conll04 = formats.read(data_root / "conll04" / "conll04_train.json")
    ade = formats.read(data_root / "ade" / "ade_full.json")
    return {"conll04": conll04, "ade": [replace(s, document=str(i // 9)) for i, s in enumerate(ade)]}


@pytest.mark.parametrize("name", ["conll04", "ade"])
def test_each_type_keeps_its_share(corpora: dict[str, list[Sentence]], name: str) -> None:
    found = corpora[name]
    total = Counter(r.type for s in found for r in s.relations)
    parts = partition(found, PARTS, 3)
    for part, share in PARTS.items():
        assert abs(len(parts[part]) / len(found) - share) < 0.03, part
        counts = Counter(r.type for i in parts[part] for r in found[i].relations)
        for kind, n in total.items():
            assert abs(counts[kind] / n - share) < 0.01, (part, kind)
    assert partition(found, PARTS, 4) != parts, "another seed, other parts"


def test_folds_cover_everything_once(corpora: dict[str, list[Sentence]]) -> None:
    found = corpora["conll04"]
    made = folds(found, 5, 1)
    assert sorted(i for _, test in made for i in test) == list(range(len(found)))
    for train, test in made:
        assert sorted(train + test) == list(range(len(found)))
        assert not {found[i].words for i in train} & {found[i].words for i in test}
        assert abs(len(test) / len(found) - 0.2) < 0.03


@given(st.integers(1, 60), st.data())
def test_samples_are_nested_whatever_else_is_asked(total: int, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, total), min_size=1, max_size=4))
    drawn = nested_samples(total, sizes, 5)
    for size, chosen in zip(sizes, drawn, strict=True):
        assert len(chosen) == size and chosen == sorted(chosen)
        assert nested_samples(total, [size], 5) == [chosen]
    for a in drawn:
        for b in drawn:
            assert set(a) <= set(b) or set(b) <= set(a)
    with pytest.raises(InputError, match="cannot be drawn from"):
        nested_samples(total, [total + 1], 5)


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    records = [{**r, "tokens": [*r["tokens"][:-1], str(i), "."]} for i, r in enumerate(tiny_records(40))]  # type: ignore[misc]
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "all.json"
    path.write_text(json.dumps(records + records[:3]), encoding="utf-8")
    types = {"entities": {"Per": {}, "Org": {}, "Loc": {}}, "relations": {"near": {"symmetric": True}, "works": {}}}
    (tmp_path / "in" / "types.json").write_text(json.dumps(types))
    return path


def test_split_writes_a_folder_that_trains(source: Path, tmp_path: Path) -> None:
    done = run(split, source, "--out", tmp_path / "out", "--seed", 2)
    assert done.exit_code == 0, done.output
    assert "no sentence names its document" in done.output and "works" in done.output
    corpus = load_corpus(DataConfig(path=str(tmp_path / "out")))
    assert corpus.schema.entity_types == ("Per", "Org", "Loc") and corpus.schema.symmetric == {"near"}
    key = lambda s: (s.words, s.entities, s.relations, s.id)  # noqa: E731
    assert Counter(map(key, formats.read(source))) == Counter(key(s) for part in corpus.splits.values() for s in part)
    again = run(split, source, "--out", tmp_path / "again", "--seed", 2)
    assert again.exit_code == 0
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    joined = run(split, tmp_path / "out", "--out", tmp_path / "joined", "--parts", "train=0.5,test=0.5")
    assert joined.exit_code == 0, joined.output
    assert sorted(p.name for p in (tmp_path / "joined").iterdir()) == ["test.json", "train.json", "types.json"]


def test_folds_are_written_and_read(source: Path, tmp_path: Path) -> None:
    assert run(split, source, "--out", tmp_path / "out", "--folds", 4).exit_code == 0
    found = load_folds(tmp_path / "out")
    assert [fold.number for fold in found] == [0, 1, 2, 3]
    assert all(len(fold.train) + len(fold.test) == 43 for fold in found)
    assert found[0].schema.entity_types == ("Per", "Org", "Loc")
    assert load_corpus(DataConfig(path=str(tmp_path / "out" / "fold-1"))).train == found[1].train
    (tmp_path / "out" / "fold-2" / "test.json").unlink()
    with pytest.raises(InputError, match=r"fold 2 has no fold-2/test.json"):
        load_folds(tmp_path / "out")
    with pytest.raises(InputError, match="no folds"):
        load_folds(source.parent)


def test_samples_are_written(source: Path, tmp_path: Path) -> None:
    done = run(sample, source, "--out", tmp_path / "c.json", "--share", "0.1,0.5,1", "--seed", 3)
    assert done.exit_code == 0, done.output
    small, half, all_ = (formats.read(tmp_path / f"c-{share}.json") for share in ("0.1", "0.5", "1"))
    assert [len(small), len(half), len(all_)] == [4, 22, 43]
    assert Counter(s.id for s in small) <= Counter(s.id for s in half) and all_ == formats.read(source)
    assert run(sample, source, "--out", tmp_path / "n.json", "--n", 4, "--seed", 3).exit_code == 0
    assert formats.read(tmp_path / "n.json") == small


def test_writing_a_sentence_keeps_it(tmp_path: Path) -> None:
    @given(st.lists(sentences(), min_size=1, max_size=5))
    def keeps(found: list[Sentence]) -> None:
        path = tmp_path / "x.json"
        path.write_bytes(spert_bytes(found))
        assert formats.read(path) == found

    keeps()


def test_refusals_write_nothing(source: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    out = ["--out", tmp_path / "out"]
    one = ["--out", tmp_path / "o.json"]
    for command, words, reason in (
        (split, [tmp_path / "no", *out], "no such file or folder"),
        (split, [source, "--out", tmp_path / "full"], "exists and is not an empty folder"),
        (split, [source, *out, "--parts", "train=0.8,test=0.3"], "add up to 1"),
        (split, [source, *out, "--parts", "train=1"], "two or more shares"),
        (split, [source, *out, "--parts", "train=0.5,train=0.5"], "twice"),
        (split, [source, *out, "--parts", "train=0.5,../x=0.5"], "is no NAME=SHARE"),
        (split, [source, *out, "--parts", "train=nan,test=0.5"], "is no NAME=SHARE"),
        (split, [source, *out, "--folds", "x"], "give a number"),
        (split, [source, *out, "--folds", "1"], "at least 2"),
        (split, [source, *out, "--folds", "99"], "cannot make 99 parts"),
        (split, [source, *out, "--folds", "3", "--parts", "a=0.5,b=0.5"], "not both"),
        (split, [source, *out, "--folds", "ade"], "belong together"),
        (split, [source, *out, "--folds", "ade", "--ids", source], "'test_folds'"),
        (sample, [source, *one], "either --n N or --share"),
        (sample, [source, *one, "--n", "0"], "a sample of 0 cannot be drawn from 43"),
        (sample, [source, *one, "--share", "0.1,2"], "'2' is no share"),
        (sample, [source, "--out", source, "--n", "3"], "exists"),
        (sample, [source, "--out", tmp_path / "no" / "o.json", "--n", "3"], "there is no folder"),
    ):
        done = run(command, *words)
        assert done.exit_code == 2 and reason in done.output, (words, done.output)
        assert "Traceback" not in done.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full", "in"]


# -- ADE's official folds ----------------------------------------------------------------------------------------------


def test_ades_ten_official_splits_byte_for_byte(data_root: Path, tmp_path: Path) -> None:
    full, ids = data_root / "ade" / "ade_full.json", data_root / "ade" / "ade_folds.json"
    done = run(split, full, "--folds", "ade", "--ids", ids, "--out", tmp_path / "folds")
    assert done.exit_code == 0, done.output
    known = json.loads(ids.read_text())["sha256"]
    assert len(known) == 20
    for name, expected in known.items():
        assert hashlib.sha256((tmp_path / "folds" / name).read_bytes()).hexdigest() == expected
    found = load_folds(tmp_path / "folds")
    assert len(found) == 10 and found[0].schema.relation_types == ("Adverse-Effect",)
    assert sum(len(fold.test) for fold in found) == 4272
    assert all(len(fold.train) + len(fold.test) == 4272 for fold in found)


IDS = {"test_folds": [[0, 1], [2, 3]]}


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"test_folds": [[0, 1], [2, 9]]}, "orig_id 9 is in no record"),
        ({"test_folds": [[0, 1], [1, 2, 3]]}, "an orig_id is in two folds"),
        ({"test_folds": [[0], [2, 3]]}, "1 records of full.json are in no fold"),
        ({"test_folds": [[0, 1, 2, 3]]}, "two or more lists"),
        ({"test_folds": [[0, [1]], [2, 3]]}, "two or more lists"),
        ([], "expected an object"),
        ({**IDS, "sha256": {"ade_split_0_test.json": "0" * 64}}, "does not come out with the sha256"),
    ],
)
def test_folds_that_do_not_fit_are_refused(tree: Any, reason: str, tmp_path: Path) -> None:
    (tmp_path / "full.json").write_text(json.dumps(tiny_records(4)))
    (tmp_path / "ids.json").write_text(json.dumps(tree))
    with pytest.raises(InputError, match=reason):
        rebuild(tmp_path / "full.json", tmp_path / "ids.json")


def test_folds_by_hand(tmp_path: Path) -> None:
    records = tiny_records(4)
    (tmp_path / "full.json").write_text(json.dumps(records))
    (tmp_path / "ids.json").write_text(json.dumps({"test_folds": [[3], [1, 0], [2]]}))
    made = {k: json.loads(v) for k, v in rebuild(tmp_path / "full.json", tmp_path / "ids.json").items()}
    assert made["ade_split_0_train.json"] == [records[1], records[0], records[2]]
    assert made["ade_split_1_test.json"] == [records[1], records[0]]
    (tmp_path / "full.json").write_text(json.dumps([*records, records[0]]))
    with pytest.raises(InputError, match="record 4: its 'orig_id' 0 is missing or not the first"):
        rebuild(tmp_path / "full.json", tmp_path / "ids.json")
