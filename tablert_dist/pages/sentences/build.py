"""Pages from what there is: results, texts and a model, annotated sentences and a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tablert_dist.errors import InputError, counted
from tablert_dist.inference.extraction import Extraction
from tablert_dist.inference.predictor import Predictor
from tablert_dist.pages.drawing.heat import MOST_WORDS, payload
from tablert_dist.pages.drawing.page import Page, ScoreRow
from tablert_dist.pages.drawing.results import DEFAULT_LIMIT, over_limit
from tablert_dist.pages.drawing.rows import Card
from tablert_dist.pages.sentences.compare import compare, plain
from tablert_dist.schema import Sentence, overlapping_pairs
from tablert_dist.scoring import LEVELS, TITLES, Counts, count


def texts_page(predictor: Predictor, texts: Sequence[str], title: str) -> Page:
    """Texts with what the model finds in them, and its tables."""
    schema = predictor.tags.schema
    cards = tuple(
        Card(f"{i}", (plain(found, schema),), *_table(predictor, found))
        for i, found in enumerate(predictor.predict(texts), 1)
    )
    return Page(title, cards, schema.entity_types, schema.relation_types, tags=predictor.tags)


def annotated_page(
    predictor: Predictor, gold: Sequence[Sentence], title: str, limit: int = DEFAULT_LIMIT, note: str = ""
) -> Page:
    """Annotated sentences with gold, prediction and scores. Raises InputError over `limit`, or naming the record."""
    if len(gold) > limit:
        raise over_limit(f"{title}: {counted(len(gold), 'sentence')}", limit)
    for i, sentence in enumerate(gold, 1):
        if overlapping_pairs(sentence):
            raise InputError(
                f"{title}: sentence {_name(i, sentence)} has overlapping entities, which one line cannot show; "
                "leave some out with --set data.overlap=keep-longest or drop-pair"
            )
    schema = predictor.tags.schema
    predicted = _predict(predictor, gold, title)
    cards = tuple(
        Card(_name(i, sentence), compare(sentence, found, schema), *_table(predictor, found))
        for i, (sentence, found) in enumerate(zip(gold, predicted, strict=True), 1)
    )
    pairs = zip(gold, (found.sentence for found in predicted), strict=True)
    scores = _scores(count(pairs, schema))
    return Page(title, cards, schema.entity_types, schema.relation_types, scores=scores, tags=predictor.tags, note=note)


def _scores(counts: Counts) -> tuple[ScoreRow, ...]:
    """Micro averages of each level."""
    levels = counts.scores().levels
    found = []
    for level in LEVELS:
        hits, spurious, missed = (int(n) for n in counts.of(level).sum(0))
        micro = levels[level].micro
        found.append(ScoreRow(TITLES[level], micro.precision, micro.recall, micro.f1, hits, missed, spurious))
    return tuple(found)


def _predict(predictor: Predictor, gold: Sequence[Sentence], title: str) -> list[Extraction]:
    try:
        return predictor.predict_words([sentence.words for sentence in gold])
    except InputError:
        # Find the record that is at fault.
        for i, sentence in enumerate(gold, 1):
            try:
                predictor.predict_words([sentence.words])
            except InputError as error:
                raise InputError(f"{title}: sentence {_name(i, sentence)}: {error}") from None
        raise


def _table(predictor: Predictor, found: Extraction) -> tuple[dict[str, Any] | None, str]:
    """The table's payload, or why there is none."""
    words, read = found.sentence.words, found.read
    if not words:
        return None, ""
    if read and not read.complete:
        unread = "not all pairs of entities were compared" if read.words_read == read.words else "the rest was not read"
        return None, f"{read.words_read} of {read.words} words were read; {unread}. The table is not drawn."
    if read and (read.sentences > 1 or read.windows):
        pieces = f"{read.sentences} sentences" if read.sentences > 1 else f"{read.windows} overlapping pieces"
        return None, f"The table is not drawn: the text was read as {pieces}, each with a table of its own."
    if len(words) > MOST_WORDS:
        return None, f"The table of {len(words)} × {len(words)} words is not drawn: it is over {MOST_WORDS} words."
    return payload(found.sentence, *predictor.probabilities(words)), ""


def _name(number: int, sentence: Sentence) -> str:
    return f"{number} (id {sentence.id})" if sentence.id else f"{number}"
