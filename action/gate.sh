#!/usr/bin/env bash
# Runs gradrace gate. Leaves its exit code, its files and annotations; the last step of the action
# fails with that code, after everything is uploaded.
set -euo pipefail

# Fetches the commit of the base if this clone lacks it, and prints its name. If it is nowhere, the
# gate says so.
base_here() {
  local name=${1#origin/}
  if ! git rev-parse --verify --quiet --end-of-options "$1^{commit}" > /dev/null &&
    git fetch --quiet --no-tags --depth=1 origin "$name" &&
    ! git cat-file -e "$1" 2> /dev/null; then
    git update-ref "refs/remotes/origin/$name" FETCH_HEAD
    echo "origin/$name"
  else
    echo "$1"
  fi
}

if [ -z "$BASE" ]; then
  case $EVENT in
    pull_request | pull_request_target | merge_group) BASE=${GITHUB_BASE_REF:+origin/$GITHUB_BASE_REF} ;;
    # A new branch has zeros before it.
    push) if [ -n "${BEFORE//0/}" ]; then BASE=$BEFORE; fi ;;
  esac
fi
arguments=("$SUITE" -k "$KEYWORD" --output "$OUTPUT")
arguments+=(--threshold "$THRESHOLD" --budget "$BUDGET" --measure "$MEASURE")
if [ -n "$BASE" ] && [ "$BASE" != none ]; then
  arguments+=(--base "$(base_here "$BASE")")
fi
if [ "$STRICT" = true ]; then
  arguments+=(--strict)
fi
while IFS= read -r line; do
  if [ -n "$line" ]; then arguments+=(--load "$line"); fi
done <<< "$LOAD"

mkdir -p "$FOLDER"
code=0
gradrace gate "${arguments[@]}" --json "$FOLDER/gate.json" --junit "$FOLDER/gate.xml" \
  --markdown "$FOLDER/gate.md" || code=$?
if [ -f "$OUTPUT/html/gate.html" ]; then
  cp "$OUTPUT/html/gate.html" "$FOLDER/"
fi
python "$ACTION/action/findings.py" "$FOLDER" "$code" "$SUITE $KEYWORD" >> "$GITHUB_OUTPUT"
