# GenLab as an image: docs/hosting.md. TORCH=cpu takes PyTorch's own builds for machines without a
# GPU, a tenth of the size; TORCH=cuda those of PyPI, which bring CUDA and run on a CPU too.
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim-bookworm
FROM ${PYTHON_IMAGE}

ARG TORCH=cuda
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN useradd --uid 10001 --create-home --home-dir /var/lib/genlab --shell /usr/sbin/nologin genlab

WORKDIR /opt/genlab
COPY requirements.txt ./
ENV PATH=/opt/venv/bin:$PATH
RUN python3 -m venv /opt/venv \
    && case "$TORCH" in \
        cpu) grep -E '^torch(vision)?==' requirements.txt \
            | xargs pip install --no-cache-dir --index-url "$TORCH_INDEX" ;; \
        cuda) ;; \
        *) echo "TORCH is '$TORCH', but must be cpu or cuda." >&2; exit 1 ;; \
    esac \
    && pip install --no-cache-dir -r requirements.txt

COPY app.py LICENSE ./
COPY checkpoints checkpoints
COPY deploy/healthcheck.py deploy/
COPY genlab genlab

# What may be written: downloads of models and of data sets, and uploads that are gone at the end.
ENV GENLAB_HOST=0.0.0.0 \
    GENLAB_PORT=7860 \
    GENLAB_DATA=/var/lib/genlab/data \
    HF_HOME=/var/lib/genlab/huggingface \
    PYTHONDONTWRITEBYTECODE=1
VOLUME /var/lib/genlab
USER 10001:10001
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python", "deploy/healthcheck.py"]
CMD ["python", "app.py"]
