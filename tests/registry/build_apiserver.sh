#!/bin/sh
# build_apiserver.sh FILE: builds a Kubernetes API server (1.20) from Debian's source package, for tests.
# It takes some ten minutes and 3 GB of disk while it lasts. Needed: apt-get, dpkg-dev, golang-go, rsync, make,
# golang-github-modern-go-reflect2-dev, and Debian 12's source packages within reach of apt-get.
set -eu
file=$1
[ -x "$file" ] && exit 0
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial
echo 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main' > sources.list
apt="-o Dir::Etc::SourceList=$work/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$work/lists"
apt-get -qq $apt update
apt-get -qq $apt source kubernetes
cd kubernetes-*
# The reflect2 of that time crashes with what Go 1.18 and newer make.
reflect2=vendor/github.com/modern-go/reflect2
rm -rf $reflect2
cp -r /usr/share/gocode/src/github.com/modern-go/reflect2 $reflect2
GOFLAGS=-mod=vendor GO111MODULE=on nice make WHAT=cmd/kube-apiserver KUBE_GIT_VERSION=v1.20.2 > "$work/log" 2>&1 ||
  { tail -n 30 "$work/log" >&2; exit 1; }
mkdir -p "$(dirname "$file")"
cp _output/bin/kube-apiserver "$file.new"
mv "$file.new" "$file"
