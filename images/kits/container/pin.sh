#!/bin/sh
# Write into the Dockerfile the digest that the base's tag has today: `sh pin.sh`.
set -eu
cd "$(dirname "$0")"

tag=$(sed -n 's/^ARG BASE=\([^@]*\).*/\1/p' Dockerfile)
docker pull --platform linux/amd64 "$tag" >&2
digest=$(docker image inspect --format '{{index .RepoDigests 0}}' "$tag")
sed "s|^ARG BASE=.*|ARG BASE=$tag@${digest#*@}|" Dockerfile > Dockerfile.new
mv Dockerfile.new Dockerfile
echo "Dockerfile: $tag is ${digest#*@} now. Commit it." >&2
