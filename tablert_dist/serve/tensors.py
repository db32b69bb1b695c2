"""The Open Inference Protocol's bodies (version 2): a request's texts out of its tensor, results as tensors.

A tensor is JSON, or bytes behind the JSON (the protocol's extension for binary tensors): of BYTES each element with its
length before it, as 4 bytes, little-endian.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, ValidationError

from tablert_dist.config import ServeConfig
from tablert_dist.errors import nearest
from tablert_dist.serve.body import RefusalError, answer, check_items, check_utf8

HEADER = "Inference-Header-Content-Length"
"""Bytes of the JSON, where there are binary tensors behind it."""
INPUT = "text"
_DATA = "data"
_SHOWN = 60
_MEMORY = ("shared_memory_region", "classification")
"""Parameters of an output that change what is answered and that only Triton has: to ignore them would answer wrongly."""
Parameters = dict[str, Any] | None


class _Part(BaseModel):
    """Fields that we do not know are left alone, as the protocol's schema has it."""

    model_config = ConfigDict(strict=True)

    name: str
    parameters: Parameters = None


class InputTensor(_Part):
    """A tensor of a request."""

    shape: Annotated[list[int], FailFast()]
    datatype: str
    data: list[Any] | None = None


class InferRequest(BaseModel):
    """The JSON of a request."""

    model_config = ConfigDict(strict=True)

    id: str | None = None
    parameters: Parameters = None
    inputs: Annotated[list[InputTensor], FailFast()]
    outputs: Annotated[list[_Part], FailFast(), BeforeValidator(lambda given: given or [])] = []


@dataclass(frozen=True)
class _Output:
    datatype: str
    of: Callable[[Mapping[str, Any]], Any]
    """An element, from a result of `/v1/extract`."""
    packed: Callable[[Any], bytes]


def _document(result: Mapping[str, Any]) -> str:
    return json.dumps(result, ensure_ascii=False, separators=(",", ":"))


def _with_length(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw


OUTPUTS = {
    "triples": _Output("BYTES", _document, _with_length),
    "complete": _Output("BOOL", lambda result: result["complete"], lambda value: bytes([value])),
}
"""`triples`: a JSON document a text, with the fields of a result of `/v1/extract`; `complete`: whether all of it was read."""


@dataclass(frozen=True)
class Inference:
    """A request: its texts, its id, and the outputs that it wants, each with whether as bytes."""

    texts: list[str]
    id: str | None
    outputs: Mapping[str, bool]


def tensors() -> dict[str, list[dict[str, Any]]]:
    """Inputs and outputs as the model's metadata describe them."""
    text = {"name": INPUT, "datatype": "BYTES", "shape": [-1]}
    outputs = [{"name": name, "datatype": output.datatype, "shape": [-1]} for name, output in OUTPUTS.items()]
    return {"inputs": [text], "outputs": outputs}


def read(body: bytes, header: str | None, config: ServeConfig) -> Inference:
    """The request in a body; `header` is the value of HEADER.

    Raises RefusalError: 400 for what the protocol or the model does not have, 413 for more than one request may bring.
    """
    size = len(body) if header is None else _length(header, len(body))
    check_utf8(body[:size])
    try:
        request = InferRequest.model_validate_json(body[:size])
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_input=False)[0]) from None
    outputs = _wanted(request)
    tensor = _the_input(request.inputs)
    sized = (tensor.parameters or {}).get("binary_data_size")
    if (sized is None) == (tensor.data is None):
        both = "has both" if sized is not None else "has neither"
        raise RefusalError(
            400, f"tensor '{INPUT}' {both} data {'and' if sized is not None else 'nor'} binary_data_size"
        )
    if sized is None:
        texts = _strings(tensor.data or [])
    else:
        texts = _unpacked(body[size:], sized, header)
    if tensor.shape != [len(texts)]:
        raise RefusalError(
            400, f"tensor '{INPUT}' has {len(texts)} elements and the shape {_short(tensor.shape)}, not [{len(texts)}]"
        )
    check_items(_DATA, texts, config, 413)
    return Inference(texts, request.id, outputs)


def written(asked: Inference, model: Mapping[str, str], results: Sequence[Mapping[str, Any]]) -> Response:
    """The answer; `model` has `model_name` and `model_version`."""
    outputs, behind = [], b""
    for name, binary in asked.outputs.items():
        output = OUTPUTS[name]
        data = [output.of(result) for result in results]
        tensor: dict[str, Any] = {"name": name, "datatype": output.datatype, "shape": [len(data)]}
        if binary:
            raw = b"".join(map(output.packed, data))
            behind += raw
            tensor["parameters"] = {"binary_data_size": len(raw)}
        else:
            tensor["data"] = data
        outputs.append(tensor)
    tree = {**model, **({} if asked.id is None else {"id": asked.id}), "outputs": outputs}
    found = answer(200, tree)
    if not any(asked.outputs.values()):
        return found
    head = bytes(found.body)
    return Response(head + behind, 200, {HEADER: str(len(head))}, media_type="application/octet-stream")


def _wanted(request: InferRequest) -> dict[str, bool]:
    """The outputs by name, and whether as bytes. An empty list wants all of them, as none does."""
    by_default = (request.parameters or {}).get("binary_data_output") is True
    if not request.outputs:
        return dict.fromkeys(OUTPUTS, by_default)
    wanted = {}
    for part in request.outputs:
        if part.name not in OUTPUTS:
            hint = nearest(part.name, OUTPUTS) or f"; it has {', '.join(OUTPUTS)}"
            raise RefusalError(400, f"the model has no output '{part.name[:_SHOWN]}'{hint}")
        parameters = part.parameters or {}
        for name in _MEMORY:
            if name in parameters:
                raise RefusalError(400, f"output '{part.name}': this server has no {name}; leave the parameter out")
        wanted[part.name] = parameters.get("binary_data", by_default) is True
    return wanted


def _the_input(found: Sequence[InputTensor]) -> InputTensor:
    names = [tensor.name[:_SHOWN] for tensor in found[:3]]
    if names != [INPUT]:
        hint = nearest(names[0], [INPUT]) if len(names) == 1 else ""
        raise RefusalError(400, f"inputs: expected one tensor '{INPUT}', found {', '.join(names) or 'none'}{hint}")
    (tensor,) = found
    if tensor.datatype != "BYTES":
        raise RefusalError(400, f"tensor '{INPUT}' has the datatype {tensor.datatype[:_SHOWN]}; it must be BYTES")
    if len(tensor.shape) != 1:
        raise RefusalError(400, f"tensor '{INPUT}' has the shape {_short(tensor.shape)}; it must be [number of texts]")
    return tensor


def _short(shape: Sequence[int]) -> str:
    return f"[{', '.join(str(n)[:_SHOWN] for n in shape[:4])}{', …' if len(shape) > 4 else ''}]"


def _strings(data: list[Any]) -> list[str]:
    for index, item in enumerate(data):
        if not isinstance(item, str):
            raise RefusalError(400, f"{_DATA}[{index}] of tensor '{INPUT}' must be a string")
    return data


def _length(header: str, size: int) -> int:
    if not (header.isascii() and header.isdigit() and len(header) < 20 and int(header) <= size):
        raise RefusalError(
            400, f"{HEADER} is '{header[:_SHOWN]}'; it must be the length of the JSON in the {size} bytes"
        )
    return int(header)


def _unpacked(raw: bytes, size: Any, header: str | None) -> list[str]:
    """The elements of a binary tensor."""
    if header is None:
        raise RefusalError(400, f"tensor '{INPUT}' has binary_data_size, and the request has no header {HEADER}")
    if not isinstance(size, int) or isinstance(size, bool) or size != len(raw):
        raise RefusalError(
            400, f"binary_data_size is {str(size)[:_SHOWN]}, and {len(raw)} bytes come behind the {header} of the JSON"
        )
    texts: list[str] = []
    at = 0
    while at < len(raw):
        end = at + 4
        if end > len(raw) or (end := end + struct.unpack_from("<I", raw, at)[0]) > len(raw):
            raise RefusalError(400, f"{_DATA}[{len(texts)}] of tensor '{INPUT}' ends after its {len(raw)} bytes")
        try:
            texts.append(raw[at + 4 : end].decode())
        except UnicodeDecodeError as error:
            raise RefusalError(400, f"{_DATA}[{len(texts)}] is not UTF-8: byte {error.start} cannot be read") from None
        at = end
    return texts


def _refusal(error: Any) -> RefusalError:
    """The first of pydantic's errors as a sentence."""
    path = error["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{str(part)[:_SHOWN]}" for part in path).lstrip(".")
    if error["type"] == "json_invalid":
        return RefusalError(400, f"the body is not JSON: {error['ctx']['error']}")
    if error["type"] == "missing":
        return RefusalError(400, f"{where} is missing")
    return RefusalError(400, f"{where or 'the body'}: {error['msg']}")
