# $0 subshells leave 20 orphans each behind (TestOrphans). Says how many signals came meanwhile, once no zombie is left.
trap 'u=$((u+1))' USR1; trap 'exit 42' TERM; echo ready
mount -t proc proc /proc
i=0; while [ $i -lt $0 ]; do i=$((i+1))
  (for j in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do : & done)
done
while [ "$(ls -d /proc/[0-9]* | wc -l)" -gt 5 ] || cat /proc/[0-9]*/stat | grep -q ' Z '; do sleep 0.01; done
echo "signals $u done"; while :; do sleep 0.01; done
