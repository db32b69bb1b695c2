"""What a model finds in a split, scored over all workers."""

from __future__ import annotations

from itertools import takewhile

import torch

from tablert_dist.batching import evaluation_batches, halving, rank_share
from tablert_dist.gpu import cells_on, in_memory
from tablert_dist.inference.torch_engine import FeatureEngine
from tablert_dist.model import TableModel
from tablert_dist.schema import Sentence
from tablert_dist.scoring import Counts, count
from tablert_dist.tags import TagSet
from tablert_dist.tokenization.windows import joined
from tablert_dist.train.context import ALONE, Examples, TrainContext, all_reduce
from tablert_dist.train.stopping import NEVER, Stop


def evaluate(
    model: TableModel, examples: Examples, tags: TagSet, max_cells: int | None, context: TrainContext = ALONE
) -> Counts:
    """Counts over all sentences and workers. `max_cells` and sharing out: as `annotate`."""
    counts = evaluate_unless(model, examples, tags, max_cells, context, NEVER)
    assert counts is not None
    return counts


def evaluate_unless(
    model: TableModel, examples: Examples, tags: TagSet, max_cells: int | None, context: TrainContext, stop: Stop
) -> Counts | None:
    """As `evaluate`; None, on every worker, where `stop` asked one of them meanwhile."""
    found = annotate(model, examples, tags, max_cells, context, stop)
    counts = count(((examples.sentences[i], sentence) for i, sentence in found.items()), tags.schema)
    table = torch.from_numpy(counts.table)
    total = torch.cat([table.flatten(), torch.tensor([int(stop.asked)], dtype=table.dtype)])
    all_reduce(total, context)
    return None if total[-1] else Counts(tags.schema, total[:-1].reshape(table.shape).numpy())


def annotate(
    model: TableModel,
    examples: Examples,
    tags: TagSet,
    max_cells: int | None,
    context: TrainContext = ALONE,
    stop: Stop = NEVER,
) -> dict[int, Sentence]:
    """What the model finds in this worker's share of the sentences, by their index; long ones are put together from their
    windows as in prediction.

    `max_cells`: table cells in a batch; None: what suits the device. A batch that does not fit in memory is halved, and so
    are those after it. Raises OutOfMemory where one sentence does not. What is left when `stop` asks is left out.
    """
    rows, words = examples.rows(), examples.words()

    def decode(batch: list[int]) -> list[Sentence]:
        with in_memory(context.device):
            inputs, tensors = examples.features.batch(batch, context.device)
            engine = FeatureEngine(model, tensors)
            return model.scheme.decode(engine, inputs, [words[i] for i in batch], tags)

    model.trainable.eval()
    with torch.inference_mode(), context.precision(model.trainable):
        # Shared out before batches are made, and by whole sentences: the workers' devices may have room for different ones.
        whole = [len(sentence.words) for sentence in examples.sentences]
        share = rank_share(range(len(whole)), whole, context.rank, context.world_size)
        lengths = examples.features.lengths
        mine = [row for i in share for row in rows[i]]
        batches = evaluation_batches([lengths[row] for row in mine], cells_on(context.device, max_cells))
        decoded = halving(decode, [[mine[i] for i in batch] for batch in batches], lengths)
        found = dict(takewhile(lambda _: not stop.asked, decoded))
    read = {i: [found[row] for row in rows[i]] for i in share if all(row in found for row in rows[i])}
    return {i: joined(examples.sentences[i].words, examples.windows.get(i), parts) for i, parts in read.items()}
