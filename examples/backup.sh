#!/usr/bin/env bash
# Keeps the last backups of a folder.
set -euo pipefail

source_dir=${1:?usage: backup.sh SOURCE TARGET [KEEP]}
target_dir=${2:?usage: backup.sh SOURCE TARGET [KEEP]}
keep=${3:-7}

log() {
  printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2
}

if [ ! -d "$source_dir" ]; then
  log "no such folder: $source_dir"
  exit 1
fi

mkdir -p "$target_dir"
archive="$target_dir/backup-$(date +%Y%m%d-%H%M%S).tar.gz"
tar -czf "$archive" -C "$source_dir" .
log "wrote $archive"

count=0
for old in $(ls -1t "$target_dir"/backup-*.tar.gz); do
  count=$((count + 1))
  if [ "$count" -gt "$keep" ]; then
    rm -- "$old"
    log "removed $old"
  fi
done
