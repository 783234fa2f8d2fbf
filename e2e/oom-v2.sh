#!/bin/bash
# Out of memory on a real cluster whose nodes have cgroup v2: the kernel kills usher along with the app, and the last word is there all the same.
#
#   KUBECONFIG=FILE e2e/oom-v2.sh IMAGE [ROUNDS]
#
# IMAGE has /usher as its ENTRYPOINT, sh and tail, and is on the node already. KUBECTL is how kubectl is called, SELECT a part of the cases. The exit code is
# 0 where every pod of every case (fast, slow, child, exec; ROUNDS of each, 5) was OOMKilled with a message that names the limit.
set -u -o pipefail
IMAGE=${1:?image} ROUNDS=${2:-5} LIMIT=48Mi KUBECTL=${KUBECTL:-kubectl}
NS=oom-v2-$$

manifest() { # name, what the app is (JSON)
	cat <<-EOF
	{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "$1", "namespace": "$NS"}, "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
	 "containers": [{"name": "app", "image": "$IMAGE", "imagePullPolicy": "Never", "args": $2, "resources": {"limits": {"memory": "$LIMIT"}}}]}}
	EOF
}

status() { $KUBECTL -n "$NS" get pod "$1" -o "jsonpath={.status.containerStatuses[0].state.terminated.$2}" 2>/dev/null; }

until_there() { # pod, field
	for _ in $(seq 600); do
		[ -z "$(status "$1" "$2")" ] || return 0
		sleep 0.5
	done
	echo "$1: has not ended"; return 1
}

declare -A app=(
	[fast]='["tail", "/dev/zero"]'
	[slow]='["sh", "-c", "s=$(head -c 500000 /dev/zero | tr \"\\0\" x); while :; do x=$x$s; done"]'
	[child]='["sh", "-c", "tail /dev/zero; exit 3"]'
	[exec]='["sleep", "1000"]'
)

failed=0
$KUBECTL create namespace "$NS" >/dev/null || exit 1
trap '$KUBECTL delete namespace "$NS" --wait=false >/dev/null' EXIT
for _ in $(seq 60); do $KUBECTL -n "$NS" get serviceaccount default >/dev/null 2>&1 && break; sleep 1; done
for case in ${SELECT:-fast slow child exec}; do
	good=0
	for n in $(seq "$ROUNDS"); do
		manifest "$case-$n" "${app[$case]}"
	done | $KUBECTL create -f - >/dev/null || failed=1
	for n in $(seq "$ROUNDS"); do
		pod=$case-$n
		if [ "$case" = exec ]; then
			$KUBECTL -n "$NS" wait --for=condition=Ready --timeout=300s "pod/$pod" >/dev/null
			$KUBECTL -n "$NS" exec "$pod" -- tail /dev/zero >/dev/null 2>&1
		fi
		until_there "$pod" exitCode || { failed=1; continue; }
		message=$(status "$pod" message) reason=$(status "$pod" reason) code=$(status "$pod" exitCode)
		echo "$pod: $reason, $code: ${message:-no message}"
		if [ "$reason $code" = "OOMKilled 137" ] && [[ $message == *"memory limit $LIMIT"* ]]; then
			good=$((good + 1))
		else
			failed=1
		fi
	done
	echo "$case: $good of $ROUNDS have the limit in their last word"
	$KUBECTL -n "$NS" delete pods --all --wait=false >/dev/null
done
exit $failed
