#!/usr/bin/env bash
# From a fresh Debian 12 to two answered tasks: installs what is needed, builds, runs the embedded
# default, shows it, and stays in the foreground. --once stops after showing. PORT: default 3000.
set -euo pipefail
cd "$(dirname "$0")/.."

once=false
case "${1:-}" in
'') ;;
--once) once=true ;;
*)
    echo "Usage: $0 [--once]" >&2
    exit 2
    ;;
esac
export PORT=${PORT:-3000}
url=http://127.0.0.1:$PORT

mapfile -t packages <packaging/build-deps
packaging/deps.sh "${packages[@]}"
echo "Building ..."
cmake --preset release -DTW_TESTS=OFF >/dev/null
cmake --build build >/dev/null

build/bin/taskwired --dev &
pid=$!
stop() {
    trap - EXIT INT TERM
    kill "$pid" 2>/dev/null || true
    wait "$pid" || true
}
trap stop EXIT
trap 'stop; exit 0' INT TERM

ready=false
for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || {
        echo "taskwired ended; the reason stands above." >&2
        exit 1
    }
    if curl -sf -o /dev/null "$url/readyz"; then
        ready=true
        break
    fi
    sleep 0.1 # the interval of the poll
done
$ready || {
    echo "taskwired was not ready within 10 s." >&2
    exit 1
}

send() { # path, body, what the answer must hold
    local answer
    echo
    echo "POST $1"
    echo "  $2"
    answer=$(curl -sS -H 'Content-Type: application/json' -d "$2" "$url$1")
    echo "  -> $answer"
    case "$answer" in
    *"$3"*) ;;
    *)
        echo "That is not the answer that was expected." >&2
        exit 1
        ;;
    esac
}
send /executor/tasks/user-login \
    '{"userId":"123","email":"user@example.com","loginTime":"2026-01-31T12:00:00Z"}' \
    '"status":"success"'
send /executor/tasks/purchase \
    '{"userId":"123","currency":"EUR","amount":12.30,"items":[{"sku":"pen","quantity":3,"price":4.10}]}' \
    '"total":12.30'
$once && exit 0

cat <<EOF

It runs on $url; try:
  curl $url/kafka/health
  curl $url/kafka/topics
  curl -H 'Content-Type: application/json' -d '{"name":"you"}' $url/executor/tasks/hello
Ctrl-C stops it.
EOF
wait "$pid"
