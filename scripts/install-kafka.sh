#!/usr/bin/env bash
# Fills the folder from which the tests start Apache Kafka: $RIBTAP_KAFKA_DIR, else
# ribtap-kafka in the user's cache folder. Jars come from Maven Central; nothing
# is fetched when they are there. Needs a JDK (17 or later) and Maven, which
# Debian has as openjdk-17-jdk-headless and maven.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
pom=$root/sinks/kafka/kafkatest/pom.xml
dir=${RIBTAP_KAFKA_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ribtap-kafka}
stamp=$dir/pom.xml

say() { echo "install-kafka.sh: $*" >&2; }

if cmp -s "$pom" "$stamp" && [ -n "$(ls "$dir"/libs/kafka-clients-*.jar 2>/dev/null)" ]; then
  say "Apache Kafka is in $dir"
  exit 0
fi
for tool in java mvn; do
  if ! command -v "$tool" >/dev/null; then
    say "$tool is missing; on Debian: apt-get install openjdk-17-jdk-headless maven"
    exit 1
  fi
done

mkdir -p "$dir"
fresh=$(mktemp -d "$dir/fetch.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
say "fetching Apache Kafka's jars into $dir"
mvn --quiet --batch-mode --no-transfer-progress --file "$pom" \
  dependency:copy-dependencies -DoutputDirectory="$fresh/libs" -DincludeScope=runtime
rm -rf "$dir/libs" "$stamp"
mv "$fresh/libs" "$dir/libs"
cp "$pom" "$stamp"
say "Apache Kafka $(ls "$dir"/libs/kafka-clients-*.jar | sed 's/.*kafka-clients-\(.*\)\.jar/\1/') is in $dir"
