# Prints which engine the remote host has. If the host has docker, this script becomes the connection to it. The lines
# are joined to one, so each ends with a semicolon or where a command may continue; the script contains no single
# quote.
#
# The sockets are in the order in which dexec looks for local ones. A dangling link is a socket whose engine is not
# started.
if command -v docker >/dev/null 2>&1; then echo dexec-far-end: docker; exec docker system dial-stdio; fi;
own=${XDG_RUNTIME_DIR:-/run/user/$(id -u)};
for socket in /var/run/docker.sock "$own/docker.sock" "$own/podman/podman.sock" /run/podman/podman.sock; do
  if [ -e "$socket" ] || [ -L "$socket" ]; then
    if [ -w "$socket" ] || [ ! -e "$socket" ]; then echo dexec-far-end: socket "$socket";
    else echo dexec-far-end: denied "$socket"; fi;
    exit;
  fi;
done;
echo dexec-far-end: nothing
