#!/usr/bin/env bash
# Installs gradrace from $SOURCE, the extras $FRAMEWORKS, and what $INSTALL adds.
#
# $SOURCE: what pip takes; by default the folder $ACTION, the action's own checkout; none: nothing.
set -euo pipefail

pip() {
  python -m pip --disable-pip-version-check install --quiet "$@"
}

# Words of the workflow's author, as on a command line; without patterns of file names.
set -f
# shellcheck disable=SC2206
further=($INSTALL)
set +f
if [ "$SOURCE" != none ]; then
  pip "${SOURCE:-$ACTION}"
fi
if [ -n "$FRAMEWORKS" ]; then
  # The installed package says what its extras need; no index has to know it.
  pip "gradrace[${FRAMEWORKS// /}]"
fi
if [ ${#further[@]} -gt 0 ]; then
  pip "${further[@]}"
fi
echo "gradrace $(gradrace --version)"
