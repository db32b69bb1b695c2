"""The answers of the Open Inference Protocol (version 2) as rules: what its OpenAPI description demands, written here.

Strict, and without room for other fields: an answer with more than the protocol has is a mistake of ours.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class ServerMetadata(_Rules):
    name: str
    version: str
    extensions: list[str]


class TensorMetadata(_Rules):
    name: str
    datatype: Literal["BOOL", "BYTES"]
    shape: list[int]


class ModelMetadata(_Rules):
    name: str
    versions: list[str]
    platform: Literal["onnx_onnxv1"]
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Output(_Rules):
    """A tensor: its elements as JSON, or the size of their bytes."""

    name: str
    datatype: Literal["BOOL", "BYTES"]
    shape: list[int]
    parameters: dict[str, str | int | bool] | None = None
    data: list[Any] | None = None

    @model_validator(mode="after")
    def check(self) -> Output:
        sized = "binary_data_size" in (self.parameters or {})
        assert sized == (self.data is None), "as JSON or as bytes"
        if self.data is not None:
            kind = {"BOOL": bool, "BYTES": str}[self.datatype]
            assert self.shape == [len(self.data)] and all(isinstance(item, kind) for item in self.data)
        return self


class InferAnswer(_Rules):
    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[Output]


class ErrorAnswer(_Rules):
    error: str
