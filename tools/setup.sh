#!/usr/bin/env bash
# Installs what is missing on a Debian 12 machine, and only that.
#
#   tools/setup.sh [demo|test|bench|fuzz|lab]
#
# demo: Python 3.11, .venv, the libraries from PyPI, the web page's JavaScript from npm.
# test: also Chromium and fonts for the browser tests, PostgreSQL, NATS and the tools of the lab. bench, fuzz and lab:
# also their own libraries; lab: the servers of a small country.
#
# Each part leaves a stamp named by the hash of what it was made from, so a second run takes
# milliseconds. Where to fetch from is for the environment to say (pip, npm and apt settings).
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-demo}

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
    say "$1"
    exit 1
}

apt_install() {
    local install=(apt-get install -y -q --no-install-recommends "$@") root=()
    command -v apt-get >/dev/null || die "please install by hand, there is no apt here: $*"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "root is needed, and there is no sudo. As root: ${install[*]}"
        root=(sudo)
    fi
    say "installing $*"
    root+=(env DEBIAN_FRONTEND=noninteractive)
    "${root[@]}" apt-get update -q </dev/null >&2 || die "apt-get update failed; is there a network?"
    "${root[@]}" "${install[@]}" </dev/null >&2 || die "apt could not install: $*"
}

# The first Python that is new enough and can make virtual environments.
find_python() {
    local candidate
    for candidate in python3.11 /usr/bin/python3.11 python3.12 python3.13 python3 /usr/bin/python3; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

setup_python() {
    local extras=$1 hash root_mark=.venv/.root python
    hash=$(sha256sum pyproject.toml | cut -c1-16)
    # Scripts in a virtual environment hold its path: one that was moved or copied is made anew.
    if [ -x .venv/bin/python ] && [ -f "$root_mark" ] && [ "$(cat "$root_mark")" != "$PWD" ]; then
        say "this folder was moved; making .venv again"
        rm -rf .venv
    fi
    # A stamp for more than what is asked serves as well.
    compgen -G ".venv/.installed-*$extras*-$hash" >/dev/null \
        && .venv/bin/python -c '' 2>/dev/null && return
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        find_python >/dev/null || apt_install python3.11 python3.11-venv
        python=$(find_python) || die "Python 3.11 or newer with venv is missing."
        "$python" -m venv .venv || die "the virtual environment could not be made."
    fi
    say "installing the Python libraries"
    .venv/bin/python -m pip install -q --disable-pip-version-check \
        -e ".${extras:+[$extras]}" </dev/null >&2 \
        || die "pip could not install the libraries; its message stands above."
    printf '%s' "$PWD" >"$root_mark"
    touch ".venv/.installed-$extras-$hash"
}

setup_javascript() {
    local hash
    hash=$(cat package.json package-lock.json tools/vendor.py | sha256sum | cut -c1-16)
    [ -f "node_modules/.volok-$hash" ] && [ -d src/volok/app/web/vendor ] && return
    command -v npm >/dev/null || apt_install nodejs npm
    say "fetching the web page's libraries from npm"
    .venv/bin/python tools/vendor.py </dev/null >&2 \
        || die "the libraries could not be fetched from npm; its message stands above."
    touch "node_modules/.volok-$hash"
}

setup_browser() {
    local missing=() font
    command -v chromium >/dev/null || missing+=(chromium)
    for font in fonts-noto-core fonts-noto-color-emoji; do
        dpkg -s "$font" >/dev/null 2>&1 || missing+=("$font")
    done
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# command:package
lab_tools=(
    ip:iproute2 unshare:util-linux setpriv:util-linux mount:mount dnsmasq:dnsmasq-base
    nginx:nginx-light postfix:postfix dovecot:dovecot-imapd curl:curl tor:tor
    obfs4proxy:obfs4proxy
)

setup_servers() {
    local missing=() package
    for package in postgresql nats-server; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

setup_lab() {
    local missing=() tool
    for tool in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
    dpkg -s dovecot-lmtpd >/dev/null 2>&1 || missing+=(dovecot-lmtpd)
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# Two runs at once in one tree would trip over each other.
exec 9<tools/setup.sh
flock 9

case $purpose in
    demo)
        setup_python ""
        setup_javascript
        ;;
    test)
        setup_python test
        setup_javascript
        setup_browser
        setup_servers
        setup_lab "${lab_tools[@]}"
        ;;
    lab)
        setup_python "test,lab"
        setup_javascript
        setup_lab "${lab_tools[@]}"
        ;;
    bench | fuzz)
        setup_python "test,$purpose"
        setup_javascript
        [ "$purpose" = fuzz ] || setup_servers
        ;;
    *) die "unknown purpose '$purpose': demo, test, bench, fuzz or lab" ;;
esac
