#!/usr/bin/env bash
# Reads the output of `go test -v` and prints what a reader needs: failures in
# full, one line for each package and for each file of a corpus, and the totals.
# Fails when a test failed.
set -euo pipefail
awk '
  /^ *--- PASS/ { pass++ }
  /^ *--- SKIP/ { skip++ }
  /^ *--- FAIL/ { fail++; print }
  /^(panic:|# |.*: build failed)/ { print; bad = 1 }
  sub(/^ *corpus_test.go:[0-9]+: /, "") && /^(mrt|bmp|bgp|total|class|skip) / { print; next }
  /^(ok|FAIL)\t/ { print; if ($1 == "FAIL") bad = 1 }
  !/^ *(---|===)|^(ok|FAIL|PASS)/ { held[n++ % 60] = $0 }
  END {
    if (fail || bad) { print "last output:"; for (i = n > 60 ? n - 60 : 0; i < n; i++) print "  " held[i % 60] }
    printf "tests: %d passed, %d failed, %d skipped\n", pass, fail, skip
    exit (fail || bad) ? 1 : 0
  }'
