#!/bin/sh
# Fetches the jars of an Apache Kafka broker and what they need, outside the checkout.
# They are in $OCKAM_TWISTED_BROKER, by default ~/.cache/ockam-twisted-broker.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${OCKAM_TWISTED_BROKER:-${XDG_CACHE_HOME:-$HOME/.cache}/ockam-twisted-broker}
for program in java mvn; do
    command -v "$program" >/dev/null || { echo "build.sh: $program is missing (on Debian: apt-get install default-jre-headless maven)" >&2; exit 1; }
done
# What an earlier release has left would be on the class path, too.
if ! cmp -s "$here/pom.xml" "$target/pom.xml"; then
    rm -rf "$target/jars"
    mkdir -p "$target"
    mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$target/jars"
    cp "$here/pom.xml" "$target/pom.xml"
fi
echo "Broker: $(ls "$target/jars" | grep '^kafka_2') in $target/jars"
