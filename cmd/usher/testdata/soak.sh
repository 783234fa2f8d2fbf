# $0 subshells leave 50 orphans each behind (TestSoak). Says how many zombies are left of them.
trap 'exit 42' TERM; mount -t proc proc /proc; echo ready
i=0; while [ $i -lt $0 ]; do i=$((i+1))
  (for j in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do : & : & done)
done
while [ "$(ls -d /proc/[0-9]* | wc -l)" -gt 5 ]; do sleep 0.01; done
echo "zombies $(cat /proc/[0-9]*/stat | grep -c ' Z ')"; while :; do sleep 0.01; done
