# What logs in, and ends the login and removes its directory when its input ends: that is when we end, by whatever
# signal. It ignores the signals of the terminal and so does its ssh, which has to last until a command is stopped; and
# it stays in our process group, from which ssh may ask for a passphrase. A path to a socket has 104 bytes at most, of
# which ssh takes 17 for itself.
#
# What ssh has started to reach the host (`ProxyJump`, `ProxyCommand`) ignores the signal with which ssh ends it, because ssh
# was started so; it is ended here. A process is killed only when it is still the one that was started here: ssh has our
# directory in its arguments, and what is below it was so before and has the same time of start. The first signal
# to ssh gives the terminal back from a question for a passphrase. A login that can't be talked to is killed, as nobody
# can reach it when its directory is gone.
trap '' HUP INT QUIT TERM
umask 077
base=${TMPDIR:-/tmp}
case $base in *[!A-Za-z0-9/._-]*) base=/tmp ;; esac
[ ${#base} -le 60 ] || base=/tmp
command -v ssh >/dev/null || { echo "there is no program ssh: install OpenSSH's client" >&2; exit; }
dir=$(mktemp -d "$base/dexec-XXXXXXXX") || exit
# Only a newer ssh has these options, and only its user can have set them.
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

# Lines of a process, its parent and its time of start.
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

# Adds ssh and all below it to the family.
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
