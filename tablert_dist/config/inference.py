"""The sections of what comes after training: export, prediction, serving."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tablert_dist.config.section import PositiveFloat, PositiveInt, Section


def _no_tensorrt(value: object) -> object:
    if value == "tensorrt":
        raise ValueError(
            "TensorRT is no longer offered: it built an engine, for minutes, for each new length of a batch; use cuda"
        )
    return value


class ExportConfig(Section):
    """The ONNX graph and its verification."""

    opset: Annotated[int, Field(ge=20, le=24)] = 20
    """Version of the ONNX operators that the graph uses."""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """fp16 is for GPUs, int8 (dynamic) for CPUs. Each has gates of its own, which the export must pass."""
    portable: bool = False
    """Leave out onnxruntime's own operators (com.microsoft), which make its graphs faster and which other runtimes lack."""
    tolerance: PositiveFloat = 1e-4
    """Largest difference of a logit between torch and onnxruntime, relative to max(1, |logit|)."""
    allow: str | None = None
    """A reason for which gates may be missed; it is recorded in the bundle. Same as `--allow` of tablert-export."""


class PredictConfig(Section):
    """Inference."""

    provider: Annotated[Literal["auto", "cpu", "cuda"], BeforeValidator(_no_tensorrt)] = "cpu"
    """`cuda` is an error where there is none; `auto` takes CUDA where it works."""
    tf32: bool = True
    """With CUDA, multiply fp32 numbers at three digits, as cards do fastest: logits then lie within 1e-3 of a CPU's.
    `false`: within 1e-6, at two thirds of the speed."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads inside one operator; 0 = one for each core."""
    max_cells: PositiveInt | None = None
    """Table cells (words squared, padded) in one batch; unset: 20 000 on a CPU, on a GPU by its free memory. A batch that
    does not fit in memory is halved."""
    beam: PositiveInt = 1
    """TablERT: sequences of tags that are kept from word to word; 1 = greedy."""
    spinning: bool = False
    """Let onnxruntime's waiting threads spin: quicker alone on a machine, at the cost of whatever else runs there."""
    split_sentences: bool = True
    """Read a text sentence by sentence; false: as one sentence, as the training data may have been."""
    language: str = "en"
    """Of the texts, for splitting them into sentences and for nothing else (an ISO 639 code; sentencex has some 240)."""
    on_overflow: Literal["window", "error", "truncate"] = "window"
    """A sentence over the encoder's limit: read by overlapping windows, refused, or only its beginning read."""
    min_entity: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Least probability of an entity that is returned; its relations go with it."""
    min_relation: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Least probability of a relation."""
    thresholds: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] = Field(default={})
    """Least probability by entity or relation type, where it is above the general one: `{Live_In = 0.5}`."""
    constraints: Annotated[str, Field(min_length=1)] = "off"
    """Rules that the relations of a sentence keep: `off`, `learned` (those kept with the model: of its training data or their
    types file), or a types file that has rules."""


class ServeConfig(Section):
    """The server of `tablert serve`."""

    host: str = "127.0.0.1"
    """Loopback by default: anyone who reaches the port may use the model."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 = a free one, printed."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "tablert"
    """The model's name in the addresses of the Open Inference Protocol: `/v2/models/NAME/infer`."""
    label_studio: bool = False
    """Also answer Label Studio, as its ML backend (`--label-studio`)."""
    token: str = ""
    """What a request must bring as `Authorization: Bearer TOKEN`. Better in `serve.token_file` or $TABLERT_TOKEN: a command
    line can be read by everyone on the machine."""
    token_file: str = ""
    """A file whose first line is the token."""
    insecure: bool = False
    """Listen to other machines without a token (`--insecure`)."""
    hosts: tuple[str, ...] = ()
    """Names under which the server answers, beside loopback's; empty: on loopback only those, elsewhere any."""
    origins: tuple[str, ...] = ()
    """Sites whose pages may ask (CORS), as `https://example.org`; none by default."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """A port of its own for `/metrics`, without the token; 0 = on the server's port, with it."""
    max_wait_ms: Annotated[float, Field(ge=0.0)] = 5.0
    """How long the first text of a batch waits for others."""
    queue: PositiveInt = 256
    """Texts waiting; a request beyond gets 503 with Retry-After."""
    max_texts: PositiveInt = 64
    """Texts in one request."""
    max_characters: PositiveInt = 200_000
    """Characters of one text."""
    max_words: PositiveInt = 100_000
    """Words of one request, over its texts; one with more gets 413."""
    max_cells: PositiveInt = 4_000_000
    """Table cells of one request: words squared, over its sentences and the windows of long ones. Two cores read some
    100 000 to 200 000 a second with the packaged encoder; a request with more gets 413."""
    deadline_seconds: PositiveFloat = 60.0
    """Seconds until a request that is not answered gets 504, and its work leaves the queue."""
    max_body: PositiveInt = 4_000_000
    """Bytes of a request's body."""
    connections: PositiveInt = 1000
    """Connections at the same time; fewer where the process may not open that many descriptors. A new one beyond that closes
    the one that has been idle longest."""
    head_seconds: PositiveFloat = 10.0
    """Seconds for the head of a request to arrive; a connection that is slower is closed with 408."""
    poll_seconds: PositiveFloat = 30.0
    """How often a registered model's alias is looked up."""
    replicas: PositiveInt = 1
    """Least replicas under Ray Serve."""
    max_replicas: PositiveInt = 4
    """Most replicas that its autoscaler starts."""
    gpus_per_replica: Annotated[float, Field(ge=0.0)] = 0.0
    """A share is allowed, say 0.25."""
