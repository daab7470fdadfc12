#!/usr/bin/env bash
# Runs every fuzz target for some seconds each (default 30), starting from fuzz/corpus/TARGET, which
# it also fills, with seeds.py's inputs to begin with. Stable Rust: the coverage comes from LLVM's pass, the driver from libfuzzer-sys.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-30}
command -v c++ >/dev/null || { echo "libFuzzer needs a C++ compiler; type: sudo apt-get install g++"; exit 1; }
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-../target/fuzz}
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
RUSTFLAGS="$coverage -Ccodegen-units=1" cargo build --release --target x86_64-unknown-linux-gnu
python3 seeds.py corpus
for source in targets/*.rs; do
	target=$(basename "$source" .rs)
	mkdir -p "corpus/$target" "artifacts/$target"
	echo "== fuzzing $target for $seconds s"
	status=0
	"$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/$target" "corpus/$target" \
		-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="artifacts/$target/" >"artifacts/$target/log" 2>&1 || status=$?
	grep -E "stat::number_of_executed|stat::peak_rss|ERROR|panicked|SUMMARY|Test unit" "artifacts/$target/log" || true
	[ "$status" = 0 ] || { echo "$target found something: see fuzz/artifacts/$target"; exit 1; }
done
