"""spaCy's side of `bench.peers`, in a Python that has spaCy: trains its `ner`, then reads as often as it is asked to.

One JSON object a line on standard input and output; standard library and spaCy alone.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any


def train(nlp: Any, examples: list[Any], epochs: int) -> None:
    """spaCy's `ner` on its `tok2vec` (HashEmbedCNN, its defaults), batches that grow from 4 to 32."""
    from spacy.util import compounding, minibatch

    optimizer = nlp.initialize(lambda: examples)
    for _ in range(epochs):
        random.shuffle(examples)
        for batch in minibatch(examples, compounding(4.0, 32.0, 1.001)):
            nlp.update(batch, sgd=optimizer, drop=0.2)


def main() -> None:
    """Train on the first line's sentences; then for each further line read the test sentences once."""
    try:
        import spacy
        from spacy.tokens import Doc
        from spacy.training import Example
    except ImportError:
        print(json.dumps({"missing": True}), flush=True)
        return
    given = json.loads(sys.stdin.readline())
    random.seed(1)
    spacy.util.fix_random_seed(1)
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96}
    model = {"@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner", "extra_state_tokens": False,
             "hidden_width": 64, "maxout_pieces": 2, "use_upper": True, "nO": None, "tok2vec": listener}  # fmt: skip
    nlp.add_pipe("ner", config={"model": model})

    def docs(sentences: list[list[str]]) -> list[Any]:
        return [Doc(nlp.vocab, words=words) for words in sentences]

    examples = []
    for doc, entities in zip(docs(given["train"]["words"]), given["train"]["entities"], strict=True):
        reference = Doc(nlp.vocab, words=[token.text for token in doc])
        reference.ents = [spacy.tokens.Span(reference, start, end, kind) for start, end, kind in entities]
        examples.append(Example(doc, reference))
    started = time.process_time()
    train(nlp, examples, given["epochs"])
    print(json.dumps({"version": spacy.__version__, "train_cpu_s": time.process_time() - started}), flush=True)
    for _ in sys.stdin:
        started = time.process_time()
        found = [[[e.start, e.end, e.label_] for e in doc.ents] for doc in nlp.pipe(docs(given["test"]))]
        print(json.dumps({"cpu_s": time.process_time() - started, "entities": found}), flush=True)


main()
