"""Memory that runs out: batches are halved where results can wait, a training ends in a sentence; batches by device."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tablert_dist.batching import CELLS, MOST_CELLS, cells_in, evaluation_batches, halving
from tablert_dist.config import PredictConfig
from tablert_dist.errors import OutOfMemory, RunError, is_out_of_memory
from tablert_dist.gpu import cells_on, in_memory
from tablert_dist.inference.gpu_memory import gpu_cells
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.encoder import load_encoder
from tablert_dist.train.evaluation import annotate
from tablert_dist.train.features import SubwordFeatures, WordFeatures
from tablert_dist.train.loop import train_epochs
from tests.support import GOLDEN
from tests.support.paths import made
from tests.unit.train.test_loop import TAGS

# As the allocators say it: torch on CUDA, on a CPU and on MPS, cuBLAS, onnxruntime's arena and its CUDA provider.
SAID = [
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB of which 3.12 MiB is free",
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
    "MPS backend out of memory (MPS allocated: 17.91 GB, other allocations: 312.00 MB)",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "Failed to allocate memory for requested buffer of size 1073741824",
    "CUDA failure 2: out of memory ; GPU=0 ; hostname=x",
]


def room_for(sentences: int, module: nn.Module, tried: list[int]) -> Any:
    """Let `module` take batches of at most `sentences`, as a device with that much memory would."""

    def refuse(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        tried.append(len(inputs[0]))
        if len(inputs[0]) > sentences:
            raise torch.OutOfMemoryError(SAID[0])

    return module.register_forward_pre_hook(refuse)


def test_a_batch_that_does_not_fit_is_halved_and_every_sentence_read_once() -> None:
    lengths = [5, 1, 9, 9, 3, 12, 7, 7, 2]
    tried: list[int] = []

    def work(batch: list[int]) -> list[str]:
        cells = len(batch) * max(lengths[i] for i in batch) ** 2
        tried.append(cells)
        if cells > 150:
            raise OutOfMemory("a card: out of memory")
        return [f"of {i}" for i in batch]

    found = dict(halving(work, evaluation_batches(lengths, 600), lengths))
    assert found == {i: f"of {i}" for i in range(len(lengths))}
    assert tried[0] > 300
    assert sum(cells > 150 for cells in tried) <= 3, "what did not fit is not tried again"
    lengths[0] = 20
    with pytest.raises(OutOfMemory, match="a card: out of memory on one sentence of 20 words: split it"):
        list(halving(work, [[0, 1]], lengths))


@pytest.mark.parametrize("message", SAID)
def test_it_is_known_whichever_library_says_it(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))
    with pytest.raises(OutOfMemory, match="CPU: out of memory"), in_memory(torch.device("cpu")):
        raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="shapes"), in_memory(torch.device("cpu")):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_this_machines_own_allocator_is_understood() -> None:
    with pytest.raises(OutOfMemory, match="CPU: out of memory"), in_memory(torch.device("cpu")):
        torch.empty(2**60, dtype=torch.uint8)


def test_what_filled_the_memory_is_free_again_though_the_error_is_kept() -> None:
    kept: list[OutOfMemory] = []
    filled: list[weakref.ref[torch.Tensor]] = []

    def fill() -> None:
        large = torch.ones(1000)
        filled.append(weakref.ref(large))
        raise torch.OutOfMemoryError(SAID[0])

    try:
        with in_memory(torch.device("cpu")):
            fill()
    except OutOfMemory as error:
        kept.append(error)
    assert kept and filled[0]() is None


@pytest.mark.parametrize("head", ["cnn", "tablert", "spert"])
def test_evaluation_goes_on_in_smaller_batches(head: str, tiny_encoder: str, tmp_path: Path) -> None:
    model, train, _ = made(tiny_encoder, tmp_path, **{"model.head": head})
    expected = annotate(model, train, TAGS, None)
    tried: list[int] = []
    # The head reads word vectors of one sentence after the other in its later stages; the encoder sees whole batches.
    hook = room_for(3, model.encoder.transformer if not model.encoder.packs else model.encoder, tried)
    assert annotate(model, train, TAGS, None).keys() == expected.keys()
    assert max(tried) > 3, "it was too much at first"
    assert tried.count(max(tried)) == 1
    hook.remove()
    room_for(0, model.encoder, tried)
    with pytest.raises(OutOfMemory, match=r"CPU: out of memory on one sentence of \d+ words"):
        annotate(model, train, TAGS, None)


def test_a_frozen_encoders_vectors_are_computed_in_smaller_batches(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, _ = made(tiny_encoder, tmp_path, **{"model.frozen": True})
    parts = load_encoder(tiny_encoder)
    subwords = SubwordFeatures(parts.tokenizer.encode([s.words for s in train.sentences]), parts.pad_id)
    tried: list[int] = []
    room_for(2, model.encoder, tried)
    found = WordFeatures(model.encoder, subwords, None, torch.device("cpu"))
    assert max(tried) > 2
    words, mask = found.inputs(range(12), torch.device("cpu"))
    expected, _ = train.features.inputs(range(12), torch.device("cpu"))
    torch.testing.assert_close(words * mask[..., None], expected * mask[..., None], atol=1e-5, rtol=1e-5)


def test_a_training_that_does_not_fit_says_what_to_change(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, config = made(tiny_encoder, tmp_path, **{"train.accumulation": 2})
    room_for(2, model.encoder, [])
    with pytest.raises(RunError) as caught:
        list(train_epochs(model, train, TAGS, config, 1))
    said = str(caught.value)
    assert said.startswith("CPU: out of memory at epoch 1, step 1, on 5 sentences of up to ")
    assert "set model.gradient_checkpointing=true, raise train.accumulation (now 2), or lower train.batch_size" in said
    assert "\n" not in said


def test_prediction_goes_on_in_smaller_batches(tiny_encoder: str, tmp_path: Path) -> None:
    from tests.support.tiny import write_tiny_checkpoint

    predictor = Predictor.load(write_tiny_checkpoint(tiny_encoder, tmp_path / "c"), PredictConfig())
    texts = [f"Ada works at Acme near Oslo {'the harbour ' * (i % 4)}." for i in range(9)]
    expected = predictor.predict(texts)
    tried: list[int] = []
    room_for(2, predictor.engine.model.encoder, tried)  # type: ignore[attr-defined]
    found = predictor.predict(texts)
    assert max(tried) > 2
    assert [_spans(f) for f in found] == [_spans(e) for e in expected]


def _spans(found: Any) -> Any:
    return [(e.start, e.end, e.type) for e in found.sentence.entities]


def test_an_engine_of_onnxruntime_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.load(GOLDEN / "bundle" / "cnn-fp32", PredictConfig())
    assert predictor.max_cells == CELLS
    whole = predictor.engine._run  # type: ignore[attr-defined]

    def little(stage: str, arrays: Any, names: Any) -> Any:
        if len(arrays["input_ids"]) > 2:
            raise RuntimeError(SAID[4])
        return whole(stage, arrays, names)

    texts = ["Ada works at Acme .", "Bo near Oslo .", "the harbour near Acme ."]
    expected = predictor.predict(texts)
    monkeypatch.setattr(predictor.engine, "_run", little)
    assert [f.to_json() for f in predictor.predict(texts)] == [e.to_json() for e in expected]


def test_cells_follow_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cells_on(torch.device("cpu")) == CELLS
    assert cells_on(torch.device("cpu"), 7) == 7
    assert cells_in(0) < CELLS < cells_in(4 * 2**30) < cells_in(8 * 2**30) < cells_in(140 * 2**30) == MOST_CELLS
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_cells() == CELLS, "no driver"
    for answer, expected in (("8192\n4096\n", cells_in(8 * 2**30)), ("[N/A]\n", CELLS), ("", CELLS)):
        tool.write_text(f"#!/bin/sh\nprintf '{answer}'\n")
        tool.chmod(0o755)
        assert gpu_cells() == expected
