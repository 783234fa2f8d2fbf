# Who gets a signal, the app alone or its child as well? USR1 asks, HUP makes the child say that it is done.
(trap 'echo child got it' USR1; trap : HUP; trap 'echo marker' USR2; trap 'exit 0' TERM; echo child ready; while :; do sleep 0.01; done) & kid=$!
trap 'echo app got it' USR1; trap 'kill -USR2 $kid' HUP; trap 'kill $kid; wait; exit 42' TERM
echo app ready; while :; do sleep 0.01; done
