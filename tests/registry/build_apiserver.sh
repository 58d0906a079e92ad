#!/bin/sh
# build_apiserver.sh FILE: builds a Kubernetes API server (1.20) from Debian's source package, for tests.
# It takes some seven minutes of CPU, 3 GB of disk while it lasts, and Debian 12's source packages by apt-get.
set -eu
file=$(realpath -m "$1")
for tool in apt-get dpkg-source go rsync make; do
  command -v $tool > /dev/null || missing="${missing-} $tool"
done
[ -d /usr/share/gocode/src/github.com/modern-go/reflect2 ] || missing="${missing-} reflect2"
if [ -n "${missing-}" ]; then
  echo "missing:$missing; needed are Debian 12's dpkg-dev, golang-go, golang-github-modern-go-reflect2-dev, rsync, make" >&2
  exit 1
fi
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
# Debian's own packages, as this machine finds them, but their sources.
mkdir -p lists/partial sources
sed 's/^deb /deb-src /' /etc/apt/sources.list > sources/debian.list 2> /dev/null || true
sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources > sources/debian.sources 2> /dev/null || true
apt="-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=$work/sources -o Dir::State::Lists=$work/lists"
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
