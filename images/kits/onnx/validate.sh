#!/bin/sh
# Make model.onnx, then try it behind the evaluator's own wall: `sh validate.sh`. It needs a Docker
# engine, the `evaluator` command, and in Python what requirements.txt names. Options go on to
# `evaluator validate`.
set -eu
cd "$(dirname "$0")"

"${PYTHON:-python3}" make_model.py
evaluator validate model.onnx --challenge challenge.json --recipe hyperparameters.json "$@"
