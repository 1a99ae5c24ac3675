# Shared by ramdisk/build and ramdisk/image: progress, the cache, checks of the tools at hand.
# shellcheck shell=bash disable=SC2034,SC2154  # "me" is set by the one who sources this, "cache" used by it

cache=${XDG_CACHE_HOME:-$HOME/.cache}/kadence
started=$EPOCHREALTIME

say() { printf '%s: %6.1f s  %s\n' "$me" "$(elapsed)" "$*"; }
die() { printf '%s: %s\n' "$me" "$*" >&2; exit 1; }
elapsed() { awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'; }
megabytes() { awk -v n="$(stat -Lc %s "$1")" 'BEGIN { printf "%.1f MB", n / 1e6 }'; }

# need PROGRAM...: all of them must be there, or scripts/setup has not run.
need() {
  local p missing=()
  for p in "$@"; do command -v "$p" >/dev/null || missing+=("$p"); done
  [ ${#missing[@]} -eq 0 ] || die "missing: ${missing[*]} (run scripts/setup lab)"
}

# digest_of FILE...: one digest over the contents and the modes of files and of everything in folders.
digest_of() {
  find "$@" -type f -print0 | sort -z | xargs -0 stat -c '%a %n' | cat - \
    <(find "$@" -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -d' ' -f1
}

# up_to_date MANIFEST INPUTS FILE...: the last build had the same inputs and its files are still there.
up_to_date() {
  local manifest=$1 inputs=$2 f
  shift 2
  [ "$(sed -n 's/^inputs //p' "$manifest" 2>/dev/null)" = "$inputs" ] || return 1
  for f in "$@"; do [ -s "$f" ] || return 1; done
}
