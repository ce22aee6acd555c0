# Tributary in a small image: docker build -t tributary .
# The Rust version is that of rust-toolchain.toml; `cargo xtask compose` compares them.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# The caches stay on the building machine, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package tributary-server --bin tributary \
    && install -D target/release/tributary /out/tributary

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin tributary \
    && install -d -m 700 -o tributary -g tributary /data
COPY --from=build /out/tributary /usr/local/bin/tributary

# Flags win over these.
ENV TRIBUTARY_DATA_DIR=/data \
    TRIBUTARY_HTTP=0.0.0.0:8080 \
    TRIBUTARY_API=0.0.0.0:8081 \
    TRIBUTARY_GRPC=0.0.0.0:9090
VOLUME /data
EXPOSE 8080 8081 9090
USER tributary

# Ready means that events are taken and that profiles show all that the log held at the start.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8081 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]

ENTRYPOINT ["tributary"]
