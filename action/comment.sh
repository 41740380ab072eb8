#!/usr/bin/env bash
# Keeps one comment on the pull request: the first run writes it, later runs replace its text.
set -euo pipefail

if [ "$HEAD_REPOSITORY" != "$GITHUB_REPOSITORY" ]; then
  # The token of a fork's pull request may only read.
  echo "::notice title=gradrace::no comment on a fork's pull request; see the summary of this job"
  exit 0
fi
if [ -z "$MARKDOWN" ] || [ ! -s "$MARKDOWN" ]; then
  echo "::notice title=gradrace::the gate left no summary, so there is nothing to comment"
  exit 0
fi

# GitHub hides it from readers; with it the next run finds the comment.
marker="<!-- gradrace gate $NAME -->"
body=$(mktemp)
trap 'rm -f "$body"' EXIT
run="$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID"
{
  echo "$marker"
  # A comment holds 65536 characters.
  if [ "$(wc -c < "$MARKDOWN")" -lt 60000 ]; then
    cat "$MARKDOWN"
  else
    head -n 1 "$MARKDOWN"
    printf '\nThe summary is too long for a comment; the job has it.\n'
  fi
  printf '\n%s\n' "Commit ${HEAD_COMMIT:0:12}. [Summary, page and JSON]($run)"
} > "$body"

comments="repos/$GITHUB_REPOSITORY/issues/$NUMBER/comments"
mine='.[] | select(.user.type == "Bot" and (.body | startswith("'$marker'"))) | .id'
write() {
  local id
  id=$(gh api --paginate "$comments" --jq "$mine") || return 1
  id=${id%%$'\n'*}
  if [ -n "$id" ]; then
    gh api -X PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F "body=@$body" > /dev/null
  else
    gh api -X POST "$comments" -F "body=@$body" > /dev/null
  fi
}
# A comment that cannot be written is no verdict on the change.
write || echo "::warning title=gradrace::the comment could not be written; the job needs the" \
  "permission pull-requests: write"
