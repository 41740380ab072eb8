#!/usr/bin/env bash
# Records HEAD against a release on the branch $BRANCH of the remote.
set -euo pipefail

if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
  # The release may be any number of commits ago.
  git fetch --quiet --unshallow --tags origin
fi
arguments=("$SUITE" -k "$KEYWORD" --folder "$FOLDER" --branch "$BRANCH" --push origin)
if [ -n "$ANCHOR" ]; then
  arguments+=(--anchor "$ANCHOR")
fi
while IFS= read -r line; do
  if [ -n "$line" ]; then arguments+=(--load "$line"); fi
done <<< "$LOAD"
gradrace history record "${arguments[@]}"
