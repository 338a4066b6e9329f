#!/usr/bin/env bash
# Makes what compose.yaml, kubernetes/ and the unit of systemd need as secrets, in a folder `secrets` beside this file; never
# twice. Needs openssl.
#
#   sudo ./make-secrets.sh                       as root, or as the user 1000, whom the image runs as
#   sudo STORE=IP:10.0.0.5 ./make-secrets.sh     where servers reach the store by another address, or by a name: DNS:store.example
set -euo pipefail
cd "$(dirname "$0")"
users=$PWD/valkey/users.acl
[ ! -e "${SECRETS:=secrets}" ] || { echo "$SECRETS is there already; move it away for new ones." >&2; exit 1; }
[ "$(id -u)" = 0 ] || [ "$(id -u)" = 1000 ] || { echo "Run it as root: two files are to belong to the user 1000." >&2; exit 1; }
# Files that others read in their containers are kept from the host's users by the folder.
mkdir -m 700 "$SECRETS" && cd "$SECRETS"
random() { openssl rand -hex 32; }
quiet() { "$@" 2>openssl.log || { cat openssl.log >&2; exit 1; }; rm openssl.log; }

# Of the tier: the key that all servers have and the store has not, the store's password, and of that the digest alone.
openssl rand -out tier-key 32
random | tr -d '\n' >tier-password
sed "s/PASSWORD_SHA256/$(openssl dgst -sha256 -r tier-password | cut -d' ' -f1)/" "$users" >users.acl

# An authority of their own for the store's certificate.
quiet openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=lastrow tier" \
  -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.crt
quiet openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=valkey" -keyout valkey.key -out valkey.csr
quiet openssl x509 -req -in valkey.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -out valkey.crt \
  -extfile <(echo "subjectAltName=DNS:valkey,DNS:valkey.lastrow.svc.cluster.local,DNS:localhost${STORE:+,$STORE}")
rm valkey.csr ca.srl

# Keys of the API: one for Prometheus, and one for you. A line for each of your clients more.
random | tr -d '\n' >metrics-key
printf 'prometheus %s\nme %s\n' "$(cat metrics-key)" "$(random)" >api-keys

chmod 600 tier-key tier-password api-keys ca.key
chmod 644 users.acl ca.crt valkey.crt valkey.key metrics-key
[ "$(id -u)" = 1000 ] || chown 1000 tier-key tier-password api-keys
echo "Made $PWD. Your key is the last line of api-keys. Keep ca.key elsewhere, or delete it."
