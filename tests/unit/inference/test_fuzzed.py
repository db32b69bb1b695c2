"""A few hundred damaged models: each loads or is refused in a sentence. `make fuzz` tries ten thousand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

from tablert_dist.inference.archive import pack
from tests.support import GOLDEN
from tests.support.fuzz import fuzz, loaded
from tests.support.mutations import change_bytes


def test_a_damaged_model_loads_or_is_refused_in_a_sentence(tmp_path: Path) -> None:
    outcomes = list(fuzz(range(250), seed=0, folder=tmp_path))
    assert [o for o in outcomes if o.fault] == []
    results = Counter(outcome.result for outcome in outcomes)
    assert results["a hash or a seal"] > 20 and results["a type, a range or JSON"] > 20 and results["it works"] > 20


def test_a_damaged_archive_loads_or_is_refused_in_a_sentence(tmp_path: Path) -> None:
    packed = pack(GOLDEN / "bundle" / "cnn-fp32", tmp_path / "b.zip")
    whole, results = packed.read_bytes(), Counter[str]()
    for number in range(150):
        kind = change_bytes(packed, Random(number))
        result, fault = (loaded(packed)) if packed.exists() else ("removed", "")
        assert not fault, (number, kind, fault)
        results[result] += 1
        packed.write_bytes(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zip"]
    assert results["another reason"] > 30, results
