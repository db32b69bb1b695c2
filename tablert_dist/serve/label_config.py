"""A labelling interface of Label Studio: the text that its labels mark, and what it calls each type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from tablert_dist.inference.extraction import Extraction
from tablert_dist.schema import Sentence
from tablert_dist.serve.body import RefusalError

_EXAMPLE = (
    '<View><Labels name="label" toName="text"><Label value="Person"/></Labels><Text name="text" value="$text"/>'
    '<Relations><Relation value="works_for"/></Relations></View>'
)


@dataclass(frozen=True)
class Label:
    """A type in the interface: the control that it belongs to, and what results call it."""

    control: str
    name: str


@dataclass(frozen=True)
class LabelConfig:
    """The first text that has labels: its tag's `name`, the `field` of a task's data, its types and the relations'."""

    name: str
    field: str
    labels: Mapping[str, Label]
    relations: Mapping[str, str]

    def text_of(self, task: Any, where: str) -> str:
        """The text of a task. Raises RefusalError 422 where it has none."""
        data = task.get("data") if isinstance(task, dict) else None
        text = data.get(self.field) if isinstance(data, dict) else None
        if not isinstance(text, str):
            raise RefusalError(
                422, f"{where}: data.{self.field[:60]} must be a string, as the interface's <Text> names it"
            )
        return text

    def known(self, found: Extraction) -> tuple[Sentence, dict[str, int]]:
        """What was found without what the interface has no label for, and how often each missing type was left out."""
        left_out: dict[str, int] = {}
        entities, relations = [], []
        for entity in found.sentence.entities:
            if entity.type in self.labels:
                entities.append(entity)
            else:
                left_out[entity.type] = left_out.get(entity.type, 0) + 1
        kept = set(entities)
        for relation in found.sentence.relations:
            if relation.type in self.relations and {relation.head, relation.tail} <= kept:
                relations.append(relation)
            else:
                left_out[relation.type] = left_out.get(relation.type, 0) + 1
        return Sentence(found.sentence.words, tuple(entities), tuple(relations)), left_out


def read_config(text: Any) -> LabelConfig:
    """The interface of a project. Raises RefusalError 400 where it is no XML, or labels no text."""
    if not isinstance(text, str):
        raise RefusalError(400, "the label config must be a string")
    if "<!" in text.replace("<!--", ""):
        raise RefusalError(400, "the label config has a document type or an entity, which this server does not read")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise RefusalError(400, f"the label config is not XML: {error}") from None
    texts = {tag.get("name", ""): tag for tag in root.iter("Text")}
    controls = [tag for tag in root.iter("Labels") if tag.get("toName") in texts]
    if not controls:
        raise RefusalError(400, f"the label config has no <Labels> of a <Text>; expected something like {_EXAMPLE}")
    target = str(controls[0].get("toName"))
    source = texts[target]
    field = str(source.get("value", ""))
    if not field.startswith("$") or source.get("valueType", "text") != "text":
        raise RefusalError(400, f'<Text name="{target[:60]}"> must have a value like $text, and no valueType but text')
    labels: dict[str, Label] = {}
    for control in controls:
        if control.get("toName") == target:
            for tag in control.iter("Label"):
                for name in filter(None, (tag.get("value"), tag.get("alias"))):
                    labels.setdefault(name, Label(str(control.get("name")), str(tag.get("alias") or tag.get("value"))))
    relations = {str(tag.get("value")): str(tag.get("value")) for tag in root.iter("Relation")}
    return LabelConfig(target, field[1:], labels, relations)
