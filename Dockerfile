# Two stages: build on Debian 12, run without a compiler, as a user without rights.
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN ./dev build release && strip build/release/skald

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      ca-certificates libfmt9 libssl3 libyaml-cpp0.7 libre2-9 libsnappy1v5 zlib1g libdeflate0 libisal2 libzstd1 liblz4-1 libsimdjson14 libcurl4 libpugixml1v5 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/skald --create-home skald
COPY --from=build /src/build/release/skald /usr/bin/skald
COPY configs/docker.yaml /etc/skald/config.yaml
USER 10001
WORKDIR /var/lib/skald
VOLUME /var/lib/skald
EXPOSE 3100
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s CMD ["/usr/bin/skald", "-health"]
ENTRYPOINT ["/usr/bin/skald"]
CMD ["-config.file=/etc/skald/config.yaml"]
