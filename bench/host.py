"""CPU time from text to results outside of the engine, over that of tokenizers' own batch call on the same words."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.alone import alone
from bench.folders import tiny_bundle
from bench.options import data_option, smoke_option
from bench.sources import SAMPLE
from bench.timing import report

ONE_THREAD = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Environment of the measuring process: CPU time of its threads is then CPU time of one."""


class FreeEngine:
    """An engine whose outputs were recorded: it gives them back call by call, at no cost."""

    def __init__(self, engine: Any) -> None:
        self.max_cells, self._engine = engine.max_cells, engine
        self._recorded: list[dict[str, Any]] = []
        self._recording, self._call = True, 0

    def offers(self, stage: str) -> Any:
        """What the engine offers."""
        return self._engine.offers(stage)

    def run(self, stage: str, arrays: Any, outputs: Any = None) -> dict[str, Any]:
        """The recorded call's outputs; while recording, the engine's own."""
        if self._recording:
            self._recorded.append(self._engine.run(stage, arrays, outputs))
            return self._recorded[-1]
        self._call += 1
        return self._recorded[(self._call - 1) % len(self._recorded)]

    def replay(self) -> None:
        """Record no more: from now on every pass makes the recorded calls again."""
        self._recording = False


def measure(model: Path, data: str, split: str, repeats: int) -> dict[str, Any]:
    """Milliseconds of CPU time a sentence: medians of interleaved passes."""
    os.environ.update(ONE_THREAD)
    from tablert_dist.config import DataConfig, PredictConfig
    from tablert_dist.data import load_corpus
    from tablert_dist.inference.predictor import Predictor

    corpus = load_corpus(DataConfig(path=data, overlap="keep-gold"))
    words = [list(sentence.words) for sentence in corpus.splits[split]]
    texts = [" ".join(sentence) for sentence in words]
    others = [" ".join(sentence.words) for sentence in corpus.train]
    by_text, by_words = (Predictor.load(model, PredictConfig(threads=1)) for _ in range(2))
    found = by_text.predict(texts)
    for predictor, read in (
        (by_text, lambda: by_text.predict(texts)),
        (by_words, lambda: by_words.predict_words(words)),
    ):
        predictor.engine = FreeEngine(predictor.engine)
        read()
        predictor.engine.replay()
    plans = by_text.planner.of_texts(texts)
    of_text = [list(piece.words) for plan in plans for piece in plan.pieces]
    library = by_text.tokenizer.tokenizer.encode_batch

    def new(work: Callable[[], Any]) -> Callable[[], Any]:
        """With no word known from before."""

        def run() -> Any:
            by_text.tokenizer.forget()
            by_words.tokenizer.forget()
            return work()

        return run

    sides = {
        "tokenizers_text": lambda: library(of_text, is_pretokenized=True),
        "tokenizers_words": lambda: library(words, is_pretokenized=True),
        "text_unread": new(lambda: by_text.predict(texts)),
        "text": new(lambda: [one.to_json() for one in by_text.predict(texts)]),
        "words_unread": new(lambda: by_words.predict_words(words)),
        "words": new(lambda: [one.to_json() for one in by_words.predict_words(words)]),
        **{f"stage_{name}": new(work) for name, work in stages(by_text, texts, of_text).items()},
    }
    times = interleaved(sides, repeats)
    by_text.tokenizer.encode([list(piece.words) for plan in by_text.planner.of_texts(others) for piece in plan.pieces])
    known = {"text_known": lambda: [one.to_json() for one in by_text.predict(texts)]}
    times |= interleaved({"tokenizers_again": sides["tokenizers_text"], **known}, repeats)
    return {
        "ms": {name: round(1e3 * seconds / len(texts), 4) for name, seconds in times.items()},
        "sentences": len(texts),
        "entities": sum(len(one.entities) for one in found),
        "relations": sum(len(one.relations) for one in found),
    }


def stages(predictor: Any, texts: list[str], pieces: list[list[str]]) -> dict[str, Callable[[], Any]]:
    """Each stage of a pass by itself, on what the stages before it give."""
    from tablert_dist.batching import evaluation_batches

    plans = predictor.planner.of_texts(texts)
    parts = [piece for plan in plans for piece in plan.pieces]
    batches = evaluation_batches([len(part.words) for part in parts], predictor.max_cells)
    grouped = [([parts[i].encoded for i in batch], [parts[i].words for i in batch]) for batch in batches]
    inputs = [predictor.inputs(encoded) for encoded, _ in grouped]
    found = predictor.read_pieces(parts)
    results = predictor.finish(plans, found)
    return {
        "split": lambda: [predictor.planner.sentences(text) for text in texts],
        "tokenise": lambda: predictor.tokenizer.encode(pieces, within_limit=False),
        "collate": lambda: [predictor.inputs(encoded) for encoded, _ in grouped],
        "decode": lambda: [
            predictor.scheme.decode(predictor.engine, arrays, words, predictor.tags)
            for arrays, (_, words) in zip(inputs, grouped, strict=True)
        ],
        "build": lambda: predictor.finish(plans, found),
        "read": lambda: [one.to_json() for one in results],
    }


def interleaved(sides: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each side, one pass of each in turn."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(1 + repeats):
        for name, work in sides.items():
            started = time.process_time()
            work()
            # The first turn warms up.
            times[name] += [time.process_time() - started] if turn else []
    return {name: statistics.median(found) for name, found in times.items()}


@click.command()
@smoke_option(model=tiny_bundle, data=SAMPLE, split="dev", repeats=1)
@click.option("--model", type=click.Path(path_type=Path), required=True, help="A trained bundle or checkpoint.")
@data_option
@click.option("--split", default="test", show_default=True, help="Split whose sentences are read.")
@click.option("--repeats", default=21, show_default=True)
def main(model: Path, data: str, split: str, repeats: int) -> None:
    """`ratio`: texts to results read as JSON, every word new to the tokenizer's memory; `known`: after the train split."""
    found = alone(measure, model, data, split, repeats)
    ms = found["ms"]
    report(
        "host",
        {
            "ratio": round(ms["text"] / ms["tokenizers_text"], 2),
            "unread": round(ms["text_unread"] / ms["tokenizers_text"], 2),
            "known": round(ms["text_known"] / ms["tokenizers_again"], 2),
            "words": round(ms["words"] / ms["tokenizers_words"], 2),
            "words_unread": round(ms["words_unread"] / ms["tokenizers_words"], 2),
            "sentences_per_cpu_s": round(1e3 / ms["text"]),
            "stages_ms": {name.removeprefix("stage_"): ms[name] for name in ms if name.startswith("stage_")},
            **{f"{name}_ms": value for name, value in ms.items() if not name.startswith("stage_")},
            **{name: found[name] for name in ("sentences", "entities", "relations")},
        },
    )


if __name__ == "__main__":
    main()
