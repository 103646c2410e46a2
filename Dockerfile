# Two images from one file: `app` serves HTTP and has no torch, `worker` trains and encodes.
#   docker build --target app .        docker build --target worker .
# The default package index serves torch with CUDA for x86-64 Linux: several GB, runs with and without a GPU. For a
# small image without a GPU, give the address of PyTorch's index of CPU builds: --build-arg TORCH_INDEX_URL=…
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PINWHEEL_DATA_DIR=/data
# A named volume takes over owner and mode of the folder that it is first mounted on.
RUN groupadd --gid 10001 pinwheel \
    && useradd --uid 10001 --gid 10001 --create-home pinwheel \
    && install --directory --owner=pinwheel --group=pinwheel /data /data/staging
WORKDIR /srv
VOLUME /data

# What each image needs, by name and version. Copied by content: only a change of a requirement installs again.
FROM base AS requirements
COPY pyproject.toml ./
RUN python -c "import pathlib, tomllib; \
project = tomllib.loads(pathlib.Path('pyproject.toml').read_text())['project']; \
needs = {extra: project['dependencies'] + project['optional-dependencies'][extra] for extra in ('app', 'worker')}; \
needs['app'] += project['optional-dependencies']['onnx']; \
needs['torch'] = [need for need in needs['worker'] if need.startswith('torch')]; \
[pathlib.Path(f'{name}.txt').write_text('\n'.join(lines) + '\n') for name, lines in needs.items()]"

FROM base AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY pinwheel pinwheel
COPY app app
COPY worker worker
RUN --mount=type=cache,target=/root/.cache/pip pip wheel --no-deps --wheel-dir /wheel .

FROM base AS app
COPY --from=requirements /srv/app.txt ./
RUN --mount=type=cache,target=/root/.cache/pip pip install --requirement app.txt
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel pip install --no-deps --no-cache-dir /wheel/*.whl
# Large uploads pass through temporary files: on the volume, not in the memory that a tmpfs is.
ENV TMPDIR=/data/staging
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
# In the container the server listens on every address; docker-compose.yml publishes it on the host's loopback only.
CMD ["python", "-m", "uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--timeout-graceful-shutdown", "3", "--log-level", "info"]

FROM base AS worker
ARG TORCH_INDEX_URL=""
COPY --from=requirements /srv/torch.txt ./
# torch in a layer of its own: it is nearly all of the image and changes least.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install ${TORCH_INDEX_URL:+--index-url "${TORCH_INDEX_URL}"} --requirement torch.txt
COPY --from=requirements /srv/worker.txt ./
RUN --mount=type=cache,target=/root/.cache/pip pip install --requirement worker.txt
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel pip install --no-deps --no-cache-dir /wheel/*.whl
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
    CMD ["python", "-m", "worker.health"]
# A stop must leave a training PINWHEEL_GRACE_SECONDS to write its checkpoint: `docker stop --time 30`.
CMD ["python", "-m", "celery", "-A", "worker.celery_app", "worker", "-Q", "train", "-n", "train@%h", "-P", "threads", "-c", "1", "--without-gossip", "--without-mingle", "--loglevel", "info"]
