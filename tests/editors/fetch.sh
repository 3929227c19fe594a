#!/bin/sh
# Fetches the editors that the editor tests run, into .cache/editors: fetch.sh [neovim] [luacheck] [emacs] [helix] [vscode]; all by
# default. Nothing is installed into the system, except Chromium (for vscode) where it is missing and we are root.
# Debian (amd64), npm and about 2 GB for all of them.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)/.cache/editors
mkdir -p "$root/bin"
debian=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    awk '/^URIs:/ && !/security/ {print $2; exit} /^deb / && !/security/ {for (i = 2; i <= NF; i++) if ($i ~ /^http/) {print $i; exit}}')
debian=${debian:-http://deb.debian.org/debian}

# unpack SUITE FOLDER PACKAGE...: packages of a Debian suite with all they need, unpacked into FOLDER. A private state
# of apt, so that neither the system's packages nor its lists matter.
unpack() {
    suite=$1 into=$root/$2
    shift 2
    [ ! -e "$into/.complete" ] || return 0
    state=$root/apt-$suite
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$into"
    : >"$state/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $debian $suite main" >"$state/sources.list"
    cat >"$state/apt.conf" <<CONF
Dir::State "$state"; Dir::State::lists "$state/lists"; Dir::State::status "$state/status"; Dir::Cache "$state/cache";
Dir::Etc::sourcelist "$state/sources.list"; Dir::Etc::sourceparts "-"; APT::Architecture "amd64"; APT::Sandbox::User "root";
CONF
    echo "fetching $* of $suite ..."
    rm -f "$state"/cache/archives/*.deb
    APT_CONFIG=$state/apt.conf apt-get update -q=2
    APT_CONFIG=$state/apt.conf apt-get install -q=2 -y --no-install-recommends --download-only "$@" >/dev/null
    for package in "$state"/cache/archives/*.deb; do dpkg-deb -x "$package" "$into"; done
    rm -rf "$state"
    touch "$into/.complete"
}

# with_loader NAME PROGRAM FOLDER ENVIRONMENT...: a command in bin/ that runs PROGRAM with FOLDER's own loader and
# libraries, which may be newer or older than the system's.
with_loader() {
    name=$1 program=$2 folder=$root/$3
    shift 3
    libraries=$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu
    loader=$(ls "$folder"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$folder"/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 2>/dev/null | head -1)
    { echo '#!/bin/sh'
      for one in "$@"; do echo "export $one"; done
      echo "exec $loader --library-path $libraries $folder$program \"\$@\""
    } >"$root/bin/$name"
    chmod +x "$root/bin/$name"
}

neovim() {
    for pair in 0.12:sid 0.10:trixie 0.7:bookworm; do
        version=${pair%:*}
        unpack "${pair#*:}" "nvim-$version" neovim
        with_loader "nvim-$version" /usr/bin/nvim "nvim-$version" "VIMRUNTIME=$root/nvim-$version/usr/share/nvim/runtime"
        echo "neovim: $("$root/bin/nvim-$version" --version | head -1)"
    done
}

luacheck() {
    unpack bookworm luacheck lua-check
    share=$root/luacheck/usr/share/lua
    with_loader luacheck "/usr/bin/lua5.1 $root/luacheck/usr/bin/luacheck" luacheck \
        "LUA_PATH='$share/5.1/?.lua;$share/5.1/?/init.lua'" "LUA_CPATH='$root/luacheck/usr/lib/x86_64-linux-gnu/lua/5.1/?.so'"
    echo "luacheck: $("$root/bin/luacheck" --version | head -1)"
}

helix() {
    unpack sid helix hx
    with_loader hx /usr/lib/helix/hx helix "HELIX_RUNTIME=$root/helix/usr/lib/helix/runtime"
    [ -e "$root/helix/usr/lib/helix/hx" ] || with_loader hx /usr/bin/hx helix "HELIX_RUNTIME=$(ls -d "$root"/helix/usr/*/helix/runtime | head -1)"
    echo "helix: $("$root/bin/hx" --version)"
}

emacs() {
    unpack bookworm emacs emacs-nox elpa-eglot
    unpack sid lsp-mode elpa-lsp-mode elpa-dash elpa-f elpa-ht elpa-lv elpa-s elpa-spinner elpa-hydra elpa-markdown-mode
    share=$root/emacs/usr/share/emacs
    version=$(ls "$share" | grep '^[0-9]' | head -1)
    lisp=$(find "$share/$version/lisp" -type d | tr '\n' ':')
    elpa=$(find "$root/emacs/usr/share/emacs/site-lisp/elpa-src" "$root/lsp-mode/usr/share/emacs/site-lisp" -mindepth 1 -maxdepth 3 -type d 2>/dev/null | tr '\n' ':')
    with_loader emacs /usr/bin/emacs-nox emacs "EMACSLOADPATH=$elpa$lisp" "EMACSDATA=$share/$version/etc" \
        "EMACSDOC=$share/$version/etc" "EMACSPATH=$(ls -d "$root"/emacs/usr/libexec/emacs/"$version"/* | head -1)"
    dump=$(find "$root/emacs" -name '*.pdmp' | head -1)
    sed -i "s|/usr/bin/emacs-nox |/usr/bin/emacs-nox --dump-file=$dump |" "$root/bin/emacs"
    echo "emacs: $("$root/bin/emacs" --version | head -1)"
}

vscode() {
    if ! command -v chromium >/dev/null; then
        echo "installing chromium ..."
        apt-get update -q=2 && apt-get install -q=2 -y --no-install-recommends chromium fonts-dejavu-core >/dev/null
    fi
    mkdir -p "$root/vscode" && cd "$root/vscode"
    [ -e .complete ] && return 0
    [ -e package.json ] || echo '{"private": true}' >package.json
    echo "fetching code-server ..."
    npm install --silent --no-audit --no-fund node@24
    PATH=$root/vscode/node_modules/node/bin:$PATH
    # Its native parts (search, watching, credentials) are not needed to edit a file, and take minutes to build.
    npm install --silent --no-audit --no-fund --ignore-scripts code-server@4.139
    (cd node_modules/code-server/lib/vscode && npm install --silent --no-audit --no-fund --omit=dev --ignore-scripts &&
        cd extensions && npm install --silent --no-audit --no-fund --omit=dev --ignore-scripts)
    touch .complete
}

[ $# -gt 0 ] || set -- neovim luacheck helix emacs vscode
for editor in "$@"; do (set -e; "$editor"); done
