"""Reading and encoding a million sentences in bounded memory, against what one training step consumes."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from bench.alone import alone
from bench.options import TINY, data_option, encoder_option, smoke_option
from bench.parts import bench_config, model_and_examples, resident_mib
from bench.sources import PACKAGED
from bench.timing import report
from tablert_dist.data import formats, load_corpus
from tablert_dist.data.formats.records import spans_to_json
from tablert_dist.schema import Sentence
from tablert_dist.storage.paths import locate
from tablert_dist.tokenization import SubwordTokenizer, read_tokenizer

CHUNK = 1000
"""Sentences encoded at once."""
STEPS = 8
"""Training steps that are timed, spread over the passes."""


def repeated(path: Path, data: str, count: int) -> None:
    """A SpERT file of `count` sentences: the training split again and again, each with its own id."""
    from tablert_dist.config import DataConfig

    train = load_corpus(DataConfig(path=data, overlap="keep-gold")).train
    records = [{"tokens": list(s.words), **spans_to_json(s)} for s in train]
    with path.open("w", encoding="utf-8") as file:
        for n, record in enumerate(itertools.islice(itertools.cycle(records), count)):
            file.write(("[" if n == 0 else ",") + "\n" + json.dumps({**record, "orig_id": n}, ensure_ascii=False))
        file.write("\n]\n")


def measure(path: Path, encode: bool) -> dict[str, float]:
    """One pass in this process: sentences a second of time and of CPU time, and how far resident memory rises."""
    # The library's own threads, unless the caller says otherwise.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    tokenizer = packaged_tokenizer()
    tokenizer.encode([("warm", "up")])
    sentences: Iterator[Sentence] = formats.iterate(path, "spert")
    start = peak = resident_mib()
    began, cpu = time.perf_counter(), time.process_time()
    count = subwords = 0
    while chunk := list(itertools.islice(sentences, CHUNK)):
        count += len(chunk)
        if encode:
            subwords += sum(len(e.ids) for e in tokenizer.encode([s.words for s in chunk], within_limit=False))
        peak = max(peak, resident_mib())
    per_s, per_cpu_s = count / (time.perf_counter() - began), count / (time.process_time() - cpu)
    return {"per_s": per_s, "per_cpu_s": per_cpu_s, "rise_mib": peak - start}


def packaged_tokenizer() -> SubwordTokenizer:
    """That of the packaged encoder, without its model."""
    return read_tokenizer(locate(PACKAGED, "encoder") / "tokenizer.json", 512)


class Training:
    """An encoder with Table 5's head, one step of the preset's batch at a time."""

    def __init__(self, encoder: str, data: str) -> None:
        from tablert_dist.batching import training_batches
        from tablert_dist.cpu import keep_pages
        from tablert_dist.train.context import TrainContext
        from tablert_dist.train.trainer import make_optimizer

        keep_pages()
        self.config = bench_config(data__path=data, data__overlap="keep-gold")
        self.model, self.train, self.tags = model_and_examples(self.config, encoder)
        self.context = TrainContext()
        self.optimizer = make_optimizer(self.model, self.model, self.config.optim, self.context.device)
        size = self.config.train.batch_size
        self.batches = itertools.cycle(training_batches(self.train.features.lengths, size, False, 1, 0))
        self.step()

    def step(self) -> tuple[float, float]:
        """Sentences a second of one step, of time and of CPU time."""
        from tablert_dist.train.profiling import Stopwatch, timed_step

        batch = next(self.batches)
        clip = self.config.optim.clip_norm
        began, cpu = time.perf_counter(), time.process_time()
        timed_step(self.model, self.train, batch, self.tags, self.optimizer, clip, Stopwatch(self.context))
        return len(batch) / (time.perf_counter() - began), len(batch) / (time.process_time() - cpu)


@click.command()
@smoke_option(**TINY, sentences=40)
@encoder_option
@data_option
@click.option("--sentences", default=1_000_000, show_default=True)
def main(encoder: str, data: str, sentences: int) -> None:
    """A tenth of the sentences and all of them, each read, and read and encoded; between the passes training steps."""
    training = Training(encoder, data)
    steps: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.json", Path(folder) / "large.json"
        repeated(small, data, max(1, sentences // 10))
        repeated(large, data, sentences)
        found = {}
        for name, path, encoded in (
            ("small_read", small, False),
            ("small_encoded", small, True),
            ("read", large, False),
            ("encoded", large, True),
        ):
            steps += [training.step() for _ in range(STEPS // 4)]
            found[name] = alone(measure, path, encoded)
        steps += [training.step() for _ in range(STEPS // 4)]
        size = large.stat().st_size
    training_per_s, training_per_cpu_s = (statistics.median(kind) for kind in zip(*steps, strict=True))
    report(
        "read",
        {
            "ratio": round(found["encoded"]["per_s"] / training_per_s, 1),
            # On a machine that others use, too, the ratio of CPU times says more.
            "cpu_ratio": round(found["encoded"]["per_cpu_s"] / training_per_cpu_s, 1),
            "training_per_s": round(training_per_s, 1),
            "read_per_s": round(found["read"]["per_s"]),
            "encoded_per_s": round(found["encoded"]["per_s"]),
            "file_mb": round(size / 1e6),
            "rise_mib": {name: round(pass_["rise_mib"]) for name, pass_ in found.items()},
            "sentences": sentences,
        },
    )


if __name__ == "__main__":
    main()
