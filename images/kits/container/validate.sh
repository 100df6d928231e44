#!/bin/sh
# Build the image, then try both of its verbs behind the evaluator's own wall: `sh validate.sh`.
# It needs a Docker engine and the `evaluator` command. Options go on to `evaluator validate`.
set -eu
cd "$(dirname "$0")"

# Another base for once: BASE=my-registry/python@sha256:... sh validate.sh
grep -q '^ARG BASE=.*@sha256:' Dockerfile || [ -n "${BASE:-}" ] || sh pin.sh
[ "$(uname -m)" = x86_64 ] || export DOCKER_DEFAULT_PLATFORM=linux/amd64

docker build --iidfile image.id --tag KIT_NAME ${BASE:+--build-arg "BASE=$BASE"} . >&2
evaluator validate "$(cat image.id)" --challenge challenge.json \
  --recipe hyperparameters.json --dockerfile Dockerfile "$@"
