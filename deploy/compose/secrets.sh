#!/bin/sh
# Makes what compose.yaml needs to be secret, where it is not there yet: ./secrets/*. Keep them out of every repository.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets

random() { head -c 32 /dev/urandom | base64 | tr -d '+/=\n'; }

[ -e secrets/database-password ] || random > secrets/database-password
[ -e secrets/admin-key ] || printf 'gw_%s' "$(random)" > secrets/admin-key
[ -e secrets/join-token ] || : > secrets/join-token  # POST /api/v1/join-tokens gives one, once the control plane is up
chmod 0444 secrets/*  # for the users inside of the containers; the directory itself is yours only

printf 'sign in to http://127.0.0.1:9010/ with: %s\n' "$(cat secrets/admin-key)"
