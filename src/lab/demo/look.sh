# What a node says of itself, a fact a line; run over ssh in whatever system it has booted.
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
echo "kernel $(uname -r)"
device=$(findmnt -n -r -o SOURCE / 2>/dev/null)
echo "root $device"
echo "number $(findmnt -n -r -o MAJ:MIN / 2>/dev/null)"
echo "disk-number $(cat "/sys/class/block/${device##*/}/dev" 2>/dev/null)"
echo "uuid $(blkid -p -s UUID -o value "$device" 2>/dev/null)"
grep -q kadence.key= /proc/cmdline && echo "system deployment"
sed 's/^/noted-/' /etc/kadence-demo 2>/dev/null
cd /
xargs sha256sum 2>/dev/null <<'SAMPLE' || true
