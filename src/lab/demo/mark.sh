#!/bin/sh
# Post-install of the demonstration. Runs in the deployment system and notes in the image what the
# proof compares with: the token of this run, the file system that was made, this very boot.
set -eu
root=${KADEPLOY_ENV_EXTRACTION_DIR:?set by the service} part=${KADEPLOY_DEPLOY_PART:?set by the service}
mountpoint -q "$root"
{
  echo "token ${1:?the token of this run}"
  echo "part $part"
  echo "uuid $(blkid -p -s UUID -o value "$part")"
  echo "boot $(cat /proc/sys/kernel/random/boot_id)"
} >"$root/etc/kadence-demo"
