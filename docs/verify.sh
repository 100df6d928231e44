#!/bin/sh
# Verify a result with openssl, jq and coreutils alone: none of the evaluator's code.
#
#   sh verify.sh RUN.sigstore.json signing.pub [SUBMISSION]
#
# Prints the statement and exits 0 only if the key signed it, the macro recall and the interval
# of the accuracy follow from its published figures, and, where SUBMISSION is given (model.onnx,
# or the file whose SHA-256 is the image's digest), it is the one that was evaluated.
set -eu

bundle=$1 key=$2 submission=${3-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "verify.sh: $1" >&2; exit 4; }

# One envelope, one signature, over an in-toto statement.
type=application/vnd.in-toto+json
jq -e --arg type "$type" '.dsseEnvelope | .payloadType == $type and (.signatures | length) == 1' \
  "$bundle" > "$work/log" 2>&1 || fail "the file is not a bundle of one signed statement"
jq -rj '.dsseEnvelope.payload' "$bundle" | base64 -d > "$work/payload" 2> "$work/log" ||
  fail "the statement is not base64"
jq -rj '.dsseEnvelope.signatures[0].sig' "$bundle" | base64 -d > "$work/sig" 2> "$work/log" ||
  fail "the signature is not base64"

# DSSE's pre-authentication encoding: "DSSEv1", then each length in bytes and each content.
printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(wc -c < "$work/payload")" > "$work/pae"
cat "$work/payload" >> "$work/pae"

if openssl pkey -pubin -in "$key" -noout -text 2>/dev/null | grep -qi '^ED25519'; then
  openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$work/pae" -sigfile "$work/sig"
else
  openssl dgst -sha256 -verify "$key" -signature "$work/sig" "$work/pae"
fi > "$work/log" 2>&1 || fail "the key did not sign this"

predicate=https://submission-evaluator.example/evaluation-result/v1
jq -e --arg type "$predicate" '.predicateType == $type' "$work/payload" > "$work/log" 2>&1 ||
  fail "what was signed is not a result"

# The Wilson score interval, and a mean; half a unit of the fourth decimal is rounding.
jq -e '.predicate | .dataset.holdout_tiles as $n | .phases.baseline
  | def near($a; $b): ($a - $b) | fabs < 0.000051;
  if .status != "OK" then true else
    1.959963984540054 as $z | .accuracy as $p | (1 + $z * $z / $n) as $scale
    | (($p + $z * $z / (2 * $n)) / $scale) as $centre
    | ($z * ($p * (1 - $p) / $n + $z * $z / (4 * $n * $n) | sqrt) / $scale) as $half
    | near(.accuracy_interval[0]; $centre - $half) and near(.accuracy_interval[1]; $centre + $half)
      and near(.macro_recall; [.recall[]] | add / length)
  end' "$work/payload" > "$work/log" 2>&1 || fail "a figure does not follow from the others"

if [ -n "$submission" ]; then
  digest=$(sha256sum < "$submission" | cut -d ' ' -f 1)
  jq -e --arg digest "$digest" '.subject[0].digest.sha256 == $digest' "$work/payload" \
    > "$work/log" || fail "another submission was evaluated"
fi

jq . "$work/payload"
