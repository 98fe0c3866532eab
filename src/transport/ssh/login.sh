# Logs in. Ends the login and removes its directory when standard input closes, which happens however dexec ends. This
# script and its ssh ignore the signals of the terminal, because the login has to last until a command is stopped. They
# stay in dexec's process group, so that ssh may ask for a passphrase. A socket path has at most 104 bytes, of which
# ssh needs 17 for itself.
#
# The programs that ssh starts to reach the host (`ProxyJump`, `ProxyCommand`) ignore the signal with which ssh ends
# them, because ssh was started with that signal ignored; so this script ends them. It kills a process only if it is
# still the one that was started here: ssh has the directory in its arguments, and its descendants were its descendants
# before and have the same start time. The first signal to ssh restores the terminal after a passphrase prompt. An ssh
# that does not respond is killed, because nothing can reach it once the directory is removed.
trap '' HUP INT QUIT TERM
umask 077
base=${TMPDIR:-/tmp}
case $base in *[!A-Za-z0-9/._-]*) base=/tmp ;; esac
[ ${#base} -le 60 ] || base=/tmp
command -v ssh >/dev/null || { echo "ssh is not installed: install the OpenSSH client" >&2; exit; }
dir=$(mktemp -d "$base/dexec-XXXXXXXX") || exit
# Older versions of ssh do not have these options, and then the user's configuration can't set them either.
knows=
if ssh -F none -G -o ForkAfterAuthentication=no -o StdinNull=no -o SessionType=none x >/dev/null 2>&1; then
  knows=yes
  set -- -o ForkAfterAuthentication=no -o StdinNull=no "$@"
fi
echo "$dir $knows"
ssh -M -S "$dir/login" "$@" </dev/null &
master=$!
exec >/dev/null 2>&1

is_ours() {
  case $(cat "/proc/$1/cmdline" || ps -o args= -p "$1") in
    *"$dir/login"*) ;;
    *) false ;;
  esac
}

# Prints a line for each process: its id, its parent's id and its start time.
processes() {
  if [ -e /proc/self/stat ]; then
    for stat in /proc/[0-9]*/stat; do
      read -r line <"$stat" || continue
      pid=${line%% *}
      set -- ${line##*) }
      echo "$pid $2 ${20}"
    done
  else
    ps -A -o pid= -o ppid= -o lstart=
  fi
}

# Adds ssh and all its descendants to `family`.
meet() {
  table=$(processes)
  parents='' next=$master
  while [ "$next" ]; do
    parents="$parents $next" next=
    while read -r pid parent start; do
      case " $parents " in *" $pid "*) family="$family<$pid $start>"; continue ;; esac
      case " $parents " in *" $parent "*) next="$next $pid" ;; esac
    done <<END
$table
END
  done
}

read -r _
family=
asker=
if is_ours "$master"; then
  meet
  if [ -S "$dir/login" ]; then
    ssh -F none -S "$dir/login" -O exit -- x &
    asker=$!
  else
    kill "$master"
  fi
  for _ in 1 2 3 4 5; do
    is_ours "$master" || break
    sleep 0.1
  done
  [ "$asker" ] && is_ours "$asker" && kill -9 "$asker"
  is_ours "$master" && meet
  processes | while read -r pid parent start; do
    case $family in *"<$pid $start>"*) kill -9 "$pid" ;; esac
  done
fi
rm -rf "$dir"
