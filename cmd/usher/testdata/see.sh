# At once: read takes it byte by byte, and its counters grow meanwhile.
while read -r line; do echo "status $line"; done <<< "$(< /proc/self/status)"
while read -r line; do echo "limits $line"; done < /proc/self/limits
echo "cwd: $PWD $(pwd -P)"
echo "umask: $(umask)"
echo "trap: $(trap)"
echo "arguments: $0 $*"
for fd in /proc/$$/fd/*; do echo "fd ${fd##*/}: $(readlink $fd || :)"; done
for fd in /proc/$$/fdinfo/*; do echo "fdinfo ${fd##*/}: $(grep flags $fd 2>/dev/null || :)"; done
for file in cgroup oom_score_adj personality timerslack_ns coredump_filter loginuid sched autogroup attr/current; do
  [ -r /proc/self/$file ] && while read -r line; do echo "$file: $line"; done < /proc/self/$file
done
read -r stat < /proc/self/stat; set -- $stat
echo "stat: session ${6} tty ${7} tpgid ${8} priority ${18} nice ${19} rt_priority ${40} policy ${41}"
tr '\0' '\n' < /proc/$$/environ | sed 's/^/env: /'
