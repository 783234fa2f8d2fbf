# An app with a child in its process group (TestProcessGroup). Each says for itself what it gets.
(trap 'echo child got it' USR1; trap 'exit 0' TERM; echo child ready; while :; do sleep 0.01; done) &
trap 'echo app got it' USR1; trap 'wait; exit 42' TERM
echo app ready; while :; do sleep 0.01; done
