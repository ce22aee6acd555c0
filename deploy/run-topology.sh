#!/usr/bin/env bash
# The topology of docker-compose.yml as processes, for machines without an engine: a real Kafka, Tributary on it,
# and Prometheus and Grafana where they are installed. Ctrl-C stops all, Tributary first. Nothing is kept.
#
#   deploy/run-topology.sh [--brokers 1|3] [--exit]
#
# --exit stops again once everything is ready, with a status that says whether it was.
set -euo pipefail
cd "$(dirname "$0")/.."

brokers=1
stay=yes
while [ $# -gt 0 ]; do
    case $1 in
    --brokers)
        brokers=${2:?"--brokers takes 1 or 3"}
        shift 2
        ;;
    --exit)
        stay=no
        shift
        ;;
    *)
        sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
done

say() {
    printf '== %s\n' "$*"
}

# So many seconds may pass until a part is ready.
patience=120
work=$(mktemp -d)
tributary='' prometheus='' grafana='' kafka=''

stop_one() {
    local name=$1 pid=$2
    if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
        say "stopping $name"
        kill -TERM "$pid"
        wait "$pid" || true
    fi
}

# The one that takes events first, what it needs last.
stop_all() {
    trap '' INT TERM
    stop_one Tributary "$tributary"
    stop_one Prometheus "$prometheus"
    stop_one Grafana "$grafana"
    if [ -n "$kafka" ]; then
        cargo xtask kafka down --port "$kafka" || true
    fi
    rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Whether a GET on this port and path is answered with 200.
answers() {
    local port=$1 path=$2 line
    { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
    printf 'GET %s HTTP/1.0\r\n\r\n' "$path" >&3
    read -r -t 5 line <&3 || line=''
    exec 3>&-
    [[ $line == *' 200 '* ]]
}

until_ready() {
    local name=$1 pid=$2 port=$3 path=$4 by=$((SECONDS + patience))
    until answers "$port" "$path"; do
        if ! kill -0 "$pid" 2>/dev/null; then
            echo "$name ended before it was ready" >&2
            exit 1
        fi
        if [ "$SECONDS" -ge "$by" ]; then
            echo "$name is not ready after $patience s" >&2
            exit 1
        fi
        sleep 0.2
    done
    say "$name is ready"
}

say "building"
cargo build --release --locked

# Ports of its own, so that brokers which somebody has up for tests are left alone.
kafka=19592
addresses=$(cargo xtask kafka up --brokers "$brokers" --port "$kafka" | tee /dev/stderr |
    sed -n 's/^TRIBUTARY_TEST_KAFKA_BROKERS=//p')
target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

# In sessions of their own, so that Ctrl-C reaches this script alone and it can keep the order.
setsid "$target/release/tributary" --data-dir "$work/data" --log kafka --kafka-brokers "$addresses" &
tributary=$!
until_ready Tributary "$tributary" 8081 /readyz

if command -v prometheus >/dev/null; then
    sed 's/tributary:8081/127.0.0.1:8081/' deploy/prometheus.yml >"$work/prometheus.yml"
    setsid prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
        --web.listen-address=127.0.0.1:9091 >"$work/prometheus.log" 2>&1 &
    prometheus=$!
    until_ready Prometheus "$prometheus" 9091 /-/ready
else
    say "no Prometheus: it is not on the PATH (Debian: apt-get install prometheus)"
fi

if command -v grafana >/dev/null; then
    home=$(dirname "$(dirname "$(readlink -f "$(command -v grafana)")")")
    if [ ! -d "$home/public" ]; then home=/usr/share/grafana; fi
    PROMETHEUS_URL=http://127.0.0.1:9091 DASHBOARDS_PATH=$PWD/deploy/grafana/dashboards \
        GF_PATHS_PROVISIONING=$PWD/deploy/grafana/provisioning GF_PATHS_DATA=$work/grafana \
        GF_SERVER_HTTP_ADDR=127.0.0.1 GF_SERVER_HTTP_PORT=3000 GF_AUTH_ANONYMOUS_ENABLED=true \
        GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH=$PWD/deploy/grafana/dashboards/tributary.json \
        setsid grafana server --homepath "$home" >"$work/grafana.log" 2>&1 &
    grafana=$!
    until_ready Grafana "$grafana" 3000 /api/health
else
    say "no Grafana: it is not on the PATH (it comes from grafana.com, Debian has no package)"
fi

say "tracking API http://127.0.0.1:8080, profile and admin API http://127.0.0.1:8081, gRPC 127.0.0.1:9090"
say "Kafka $addresses"
if [ -n "$prometheus" ]; then say "Prometheus http://127.0.0.1:9091"; fi
if [ -n "$grafana" ]; then say "Grafana http://127.0.0.1:3000"; fi
if [ "$stay" = no ]; then exit 0; fi
say "Ctrl-C stops all"
wait -n
echo "a part has ended; stopping the others" >&2
exit 1
