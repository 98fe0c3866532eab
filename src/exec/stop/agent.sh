# Looks for processes and sends signals, as the client asks over standard input.
# $1 is the marker, NAME=VALUE. Nothing but a POSIX shell and a grep that knows -z is needed.
printf 'x\0' | grep -zxF x >/dev/null 2>&1 || exit 9
name=${1%%=*}
echo "ready $$"

# The first line of a stat file alone would do, but for programs with a line break in their names.
stat_line() {
  stat=
  while IFS= read -r part; do stat="$stat${stat:+ }$part"; done
} 2>/dev/null

list() {
  grep -lszxF "$1" /proc/[0-9]*/environ
  for directory in /proc/[0-9]*; do
    stat=
    { stat_line <"$directory/stat"; } 2>/dev/null
    [ -z "$stat" ] || printf '%s\n' "$stat"
  done
}

send() {
  signal=$1
  shift
  while [ $# -gt 1 ]; do
    pid=$1 start=$2
    shift 2
    stat=
    { stat_line <"/proc/$pid/stat"; } 2>/dev/null
    has_started "$start" ${stat##*) } && kill "-$signal" "$pid"
  done 2>/dev/null
}

has_started() { [ "$1" = "${21}" ]; }

# A process of the container's own has what the first process has in its environment.
is_own() {
  tr '\0' '\n' </proc/1/environ | (
    found=
    while IFS= read -r entry; do
      [ -n "$entry" ] || continue
      grep -qszxF -e "$entry" "/proc/$1/environ" || exit 1
      found=1
    done
    [ -n "$found" ]
  )
}

look() {
  for pid; do
    uid=
    { while read -r key value rest; do
      [ "$key" != Uid: ] || uid=$value
    done <"/proc/$pid/status"; } 2>/dev/null
    [ -n "$uid" ] || continue
    if ! { true <"/proc/$pid/environ"; } 2>/dev/null; then
      echo "$pid $uid unreadable"
    elif grep -qsz "^$name=" "/proc/$pid/environ"; then
      echo "$pid $uid other"
    elif is_own "$pid"; then
      echo "$pid $uid own"
    else
      echo "$pid $uid unknown"
    fi
  done 2>/dev/null
}

while read -r verb words; do
  case $verb in
    list) list "$1" ;;
    kill) send $words ;;
    look) look $words ;;
    *) echo '?' ;;
  esac
  echo .
done
