# Lists processes and sends signals, as the client requests over standard input. It runs as the command's user. Except
# in `is_own`, it needs only a POSIX shell and starts no process: a container may allow no more of them.

# Reads all of standard input into `text`. The shell drops NUL bytes.
read_text() {
  text='' line=''
  while IFS= read -r line || [ -n "$line" ]; do
    text="$text${text:+ }$line"
    line=
  done
}

# The fields of a stat line after the name; the 20th is the start time.
started() { start=${20}; }

read_stat() {
  text=
  { read_text <"/proc/$1/stat"; } 2>/dev/null
  [ -n "$text" ] && started ${text##*) }
}

sign_of() {
  text=
  if ! { read_text <"/proc/$1/environ"; } 2>/dev/null; then
    sign=unreadable
  else
    case $text in
      *"$marker"*) sign=marked ;;
      *"$name="*) sign=foreign ;;
      *) sign=none ;;
    esac
  fi
}

# Whether the process is in the container's cgroups, which are also the shell's.
place_of() {
  text=
  { read_text <"/proc/$1/cgroup"; } 2>/dev/null
  place=out
  [ "$text" != "$cgroup" ] || place=in
}

# The shell reads byte by byte, so the unchanging data of marked processes is read only once. `known_PID` contains the
# start time, the marker, the sign, the user, which the shell can't determine, and the place.
list() {
  marker=$1 name=${1%%=*} since=$2
  for directory in /proc/[0-9]*; do
    pid=${directory#/proc/}
    read_stat "$pid" || continue
    stat=$text
    if [ "$start" -lt "$since" ]; then
      printf -- '- - - %s\n' "$stat"
      continue
    fi
    eval "known=\${known_$pid-}"
    if [ "${known% * * *}" = "$start $marker" ]; then
      known=${known#* * }
    else
      sign_of "$pid"
      place_of "$pid"
      known="$sign - $place"
      [ "$sign" != marked ] || eval "known_$pid=\"\$start \$marker \$known\""
    fi
    printf '%s %s\n' "$known" "$stat"
  done
}

send() {
  signal=$1
  shift
  while [ $# -gt 1 ]; do
    if read_stat "$1" && [ "$start" = "$2" ] && ! kill "-$signal" "$1" && read_stat "$1"; then
      echo "$1 1"
    fi
    shift 2
  done 2>/dev/null
}

# A process started by one of the container's own has all the environment entries of the first process.
is_own() {
  tr '\0' '\n' <"/proc/$2/environ" | (
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
  marker=$1 name=${1%%=*} first=$2
  shift 2
  for pid; do
    sign_of "$pid"
    if [ "$sign" = none ] && is_own "$pid" "$first"; then
      sign=own
    fi
    [ ! -d "/proc/$pid" ] || echo "$pid $sign"
  done 2>/dev/null
}

clock() {
  read -r uptime rest </proc/uptime
  echo "${uptime%.*}${uptime#*.}0000"
}

text=
{ read_text </proc/$$/cgroup; } 2>/dev/null
cgroup=$text
echo "ready $$ - own unlinked"
while read -r verb words; do
  case $verb in
    clock) clock ;;
    list) list $words ;;
    kill) send $words ;;
    look) look $words ;;
    *) echo '?' ;;
  esac
  echo .
done
