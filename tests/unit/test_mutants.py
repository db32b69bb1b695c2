"""The table of `make mutants` names modules and tests that there are, and a reason for each mutant that is left out."""

from __future__ import annotations

import ast
import tomllib

from tests.support import ROOT, TESTS

TABLE = tomllib.loads((TESTS / "support" / "mutants.toml").read_text(encoding="utf-8"))


def test_modules_and_their_tests_are_there() -> None:
    for module, tests in TABLE["modules"].items():
        assert (ROOT / module).is_file() and tests, module
        for test in tests:
            path, _, name = test.partition("::")
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert not name or name.partition("[")[0] in functions, test


def test_every_mutant_that_is_left_out_is_of_a_module_and_has_a_reason() -> None:
    for entry in TABLE["equivalent"]:
        assert entry["module"] in TABLE["modules"] and entry["function"] and entry["reason"].strip()
        source = (ROOT / entry["module"]).read_text(encoding="utf-8")
        lines = {line.strip() for line in source.splitlines()}
        assert entry.get("was", next(iter(lines))) in lines, f"{entry['was']} stands there no more"
        assert ("was" in entry) == ("becomes" in entry)
