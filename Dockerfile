# One image for every role: tickgate ingest | aggregate | gateway | migrate | check.
# The base is pinned by version; pin it by digest where you build for production.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_CONSTRAINT=/src/constraints.txt
RUN python -m venv /opt/tickgate
# Dependencies come in a layer of their own: they change less often than the code.
COPY constraints.txt pyproject.toml deploy/requirements.py ./
RUN python requirements.py pyproject.toml > requirements.txt \
    && /opt/tickgate/bin/python -m pip install -r requirements.txt
COPY README.md LICENSE ./
COPY core core
COPY storage storage
COPY ingest ingest
COPY aggregator aggregator
COPY gateway gateway
COPY loadtest loadtest
COPY tickgate tickgate
RUN python -m pip wheel --no-deps --wheel-dir /wheel . \
    && /opt/tickgate/bin/python -m pip install --no-deps /wheel/tickgate-*.whl \
    && /opt/tickgate/bin/tickgate --version \
    && /opt/tickgate/bin/python -m pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="tickgate" \
      org.opencontainers.image.description="Self-hosted real-time market data gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 tickgate \
    && useradd --system --uid 10001 --gid tickgate --no-create-home --home-dir /nonexistent \
       --shell /usr/sbin/nologin tickgate
COPY --from=build /opt/tickgate /opt/tickgate
COPY deploy/healthcheck.py /opt/tickgate/healthcheck.py
ENV PATH=/opt/tickgate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TICKGATE_LOG_FORMAT=json
USER 10001:10001
# 8080: page, HTTP and WebSocket of the gateway; 9100: health and metrics of ingest and aggregate.
EXPOSE 8080 9100
STOPSIGNAL SIGTERM
# /livez of the gateway, by TICKGATE_PORT and TICKGATE_TLS_CERTIFICATE; compose.yaml passes the
# address of the other roles.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "/opt/tickgate/healthcheck.py"]
ENTRYPOINT ["tickgate"]
CMD ["--help"]
