#!/usr/bin/env bash
# Installs what the tests need, builds, and runs every test. --full: also with clang, and with the
# address, undefined-behaviour and thread sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."

full=false
case "${1:-}" in
'') ;;
--full) full=true ;;
*)
    echo "Usage: $0 [--full]" >&2
    exit 2
    ;;
esac
mapfile -t packages <packaging/build-deps
packages+=(libcmocka-dev python3 openjdk-17-jre-headless maven kcat redis-server redis-sentinel valgrind)
$full && packages+=(clang)
packaging/deps.sh "${packages[@]}"

passed=0 failed=0
logs=build/test-logs
mkdir -p "$logs"

if ! cmp -s tests/kafka/pom.xml build/kafka/pom.xml; then
    echo "== fetching Apache Kafka"
    rm -rf build/kafka
    mkdir -p build/kafka
    mvn -q -B -f tests/kafka/pom.xml \
        org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DoutputDirectory="$PWD/build/kafka/lib"
    cp tests/kafka/pom.xml build/kafka/pom.xml
fi

# Runs a command and counts what its output says was run and what failed.
count() { # name, pattern of one passed, pattern of one failed, command ...
    local name=$1 good=$2 bad=$3 log=$logs/$1.log status=0 p f
    shift 3
    echo "== $name"
    "$@" >"$log" 2>&1 || status=$?
    p=$(grep -cE "$good" "$log" || true)
    f=$(grep -cE "$bad" "$log" || true)
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        f=1
    fi
    if [ "$f" -ne 0 ] || [ "$p" -eq 0 ]; then
        tail -n 60 "$log"
    fi
    [ "$p" -eq 0 ] && [ "$f" -eq 0 ] && f=1 # a suite that ran nothing
    passed=$((passed + p)) failed=$((failed + f))
}

suite() { # preset, build folder
    cmake --preset "$1" -DTW_TESTS=ON >"$logs/configure-$1.log"
    cmake --build "$2" >"$logs/build-$1.log" || {
        cat "$logs/build-$1.log"
        exit 1
    }
    count "unit-$1" '^[0-9]+: \[       OK \]' '^[0-9]+: \[  FAILED  \] [0-9a-z_]*[a-z_]$' \
        ctest --test-dir "$2" --output-on-failure --verbose
    count "blackbox-$1" ' \.\.\. ok$' ' \.\.\. (FAIL|ERROR)$' \
        env TASKWIRED="$2/bin/taskwired" python3 -m unittest discover -v -s tests/blackbox \
        -p 'test_*.py'
}

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:allocator_may_return_null=1
export TSAN_OPTIONS="allocator_may_return_null=1 suppressions=$PWD/tests/suppressions/tsan.txt second_deadlock_stack=1"
count lint ' \.\.\. ok$' ' \.\.\. (FAIL|ERROR)$' python3 -m unittest discover -v -s tests/lint -p 'test_*.py'
suite dev build
if $full; then
    echo "== clang"
    CC=clang cmake -G Ninja -S . -B build/clang >"$logs/configure-clang.log"
    cmake --build build/clang >"$logs/build-clang.log" || {
        cat "$logs/build-clang.log"
        exit 1
    }
    suite asan build/asan
    suite tsan build/tsan
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
