"""One bundle for all tests of the server: they read it, and copy it before they alter it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.serving import make_bundle


@pytest.fixture(scope="session")
def bundle(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, exported."""
    return make_bundle(tiny_encoder, tmp_path_factory.mktemp("served"))
