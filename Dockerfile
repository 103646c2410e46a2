# Two images from one file: `app` serves HTTP and has no torch, `worker` trains and encodes.
#   docker build --target app .        docker build --target worker .
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PINWHEEL_DATA_DIR=/data
RUN useradd --create-home --uid 10001 pinwheel && install -d -o pinwheel /data
WORKDIR /srv
COPY pyproject.toml README.md ./
COPY pinwheel pinwheel
COPY app app
COPY worker worker
VOLUME /data

FROM base AS app
RUN pip install ".[app]"
USER pinwheel
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=6 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# In the container the server listens on every address; docker-compose.yml publishes it on the host's loopback only.
CMD ["python", "-m", "uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log"]

FROM base AS worker
RUN pip install ".[worker]"
USER pinwheel
# Long enough for a training to write its checkpoint; docker-compose.yml grants the same.
STOPSIGNAL SIGTERM
CMD ["python", "-m", "celery", "-A", "worker.celery_app", "worker", "-Q", "train", "-P", "threads", "-c", "1", "-n", "train@%h", "--without-gossip", "--without-mingle"]
