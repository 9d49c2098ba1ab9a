# PyTorch, the library with its ops compiled, and the experiments. docker/run.sh builds and runs it; by hand:
#
#   docker build -f docker/pytorch.Dockerfile -t samplenet-pytorch:cpu .
#   docker build -f docker/pytorch.Dockerfile -t samplenet-pytorch:cuda --build-arg DEVICE=cuda \
#       --build-arg TOOLKIT=docker.io/nvidia/cuda:13.0.2-devel-ubuntu24.04 .
#
# BASE       image with Python 3.11 and venv; add a digest to pin it for good
# DEVICE     cpu or cuda: the lock file, which pins PyTorch, and whether CUDA kernels are compiled
# TOOLKIT    image with nvcc in /usr/local/cuda-*, of the CUDA that PyTorch is built for; only read while compiling
# CUDAARCHS  GPU architectures as CMake names them: 90, or the list that is the default (Turing and later)
# WHEELS     page or folder with PyTorch's CPU wheels; those of the package index bring CUDA
# REVISION   git revision, noted beside every result
ARG BASE=docker.io/library/python:3.11-slim-bookworm
ARG TOOLKIT=${BASE}

FROM ${TOOLKIT} AS toolkit

FROM ${BASE} AS locked
# a Debian release has one g++
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/samplenet
RUN python3 -m venv .venv
ENV PATH=/opt/samplenet/.venv/bin:$PATH
ARG DEVICE=cpu
ARG WHEELS=https://download.pytorch.org/whl/cpu/torch/
COPY docker/lock/pytorch-${DEVICE}.txt lock.txt
RUN pip install --no-cache-dir --no-deps --require-hashes --find-links "$WHEELS" -r lock.txt

FROM locked AS build
ARG DEVICE=cpu
ARG CUDAARCHS=75;80;90;100;120
ENV PYTHONPATH=/opt/samplenet/lib
COPY common common
RUN --mount=type=bind,from=toolkit,target=/toolkit \
    pip install --no-cache-dir --no-deps --no-build-isolation --target lib ./common && \
    if [ "$DEVICE" = cuda ]; then set -- --cuda; CUDACXX=$(ls /toolkit/usr/local/cuda-*.*/bin/nvcc); export CUDACXX; fi && \
    python -m samplenet.ops.build --torch "$@" && pip check

FROM locked AS environment
RUN pip uninstall --yes cmake ninja

FROM ${BASE} AS experiments
WORKDIR /checkout
COPY . .
RUN mkdir /experiments && for file in */experiment.py; do cp -r "${file%/*}" /experiments/; done

FROM ${BASE}
WORKDIR /opt/samplenet
RUN mkdir -m 1777 results data
# the gigabytes have their own layer, which changes of the library leave cached
COPY --from=environment /opt/samplenet/.venv .venv
COPY --from=build /opt/samplenet/lib lib
# readable by every user, whatever the checkout's modes
COPY --chmod=755 LICENSE plan.py reproduce.py ./
COPY --chmod=755 benchmarks benchmarks
COPY --from=experiments --chmod=755 /experiments/ ./
ARG REVISION=unknown
LABEL org.opencontainers.image.revision=${REVISION}
# any user has a home for caches, even without an entry in /etc/passwd
ENV PATH=/opt/samplenet/.venv/bin:/opt/samplenet/lib/bin:$PATH PYTHONPATH=/opt/samplenet/lib HOME=/tmp USER=samplenet \
    PYTHONUNBUFFERED=1 SAMPLENET_REVISION=${REVISION}
USER 1000:1000
ENTRYPOINT ["python"]
CMD ["reproduce.py", "--help"]
