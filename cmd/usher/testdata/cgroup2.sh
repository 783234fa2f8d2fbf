# The init of a user mode Linux (TestOutOfMemoryOnCgroup2): containers of 48 MiB.
# $usher is usher, $logs where the termination logs go.
mount -t proc proc /proc; mount -t tmpfs tmpfs /run; mount -t cgroup2 none /sys/fs/cgroup
echo +memory > /sys/fs/cgroup/cgroup.subtree_control
box() {
	g=/sys/fs/cgroup/$1; mkdir $g; echo 48M > $g/memory.max; echo $2 > $g/memory.oom.group; : > $logs/$1
	(
		echo $BASHPID > $g/cgroup.procs
		exec unshare -Cpfm --mount-proc bash -c 'umount /sys/fs/cgroup; mount -t cgroup2 -o ro none /sys/fs/cgroup; exec "$@"' sh \
			$usher -v --termination-log $logs/$1 -- "${@:3}"
	) > $logs/$1.out 2>&1
	echo $? > $logs/$1.code
}
grow='while (1) { push @x, "x" x (1 << 17); select(undef, undef, undef, 0.01) }'
box group 1 perl -e "$grow" # alone: there is but one CPU
box fast 1 tail /dev/zero
box fastchild 1 bash -c 'tail /dev/zero; exit 3'
box own 1 bash -c "echo mine > $logs/own; tail /dev/zero"
box done 1 bash -c "exit 3"
box app 0 perl -e "$grow" &
box child 0 bash -c 'perl -e "$0"; sleep 0.5; exit 3' "$grow" &
box shell 0 bash -c 'perl -e "$0"; exit $?' "$grow" &
box stop 1 bash -c 'kill -TERM 1; sleep 0.1; perl -e "$0"' "$grow" & # TERM is held back
box cache 0 bash -c "head -c 64M /dev/zero > $logs/file1; cat $logs/file1 > /dev/null; kill -9 \$\$" &
wait
echo o > /proc/sysrq-trigger; sleep 60
