"""A few hundred damaged models: each loads or is refused in a sentence. `make fuzz` tries ten thousand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.support.fuzz import fuzz


def test_a_damaged_model_loads_or_is_refused_in_a_sentence(tmp_path: Path) -> None:
    outcomes = list(fuzz(range(250), seed=0, folder=tmp_path))
    assert [o for o in outcomes if o.fault] == []
    results = Counter(outcome.result for outcome in outcomes)
    assert results["a hash or a seal"] > 20 and results["a type, a range or JSON"] > 20 and results["it works"] > 20
