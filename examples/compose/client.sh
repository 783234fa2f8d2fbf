#!/bin/bash
# Asks for $1 again and again, and prints each second how often that went well and how often not.
answered=0 failed=0 said=$SECONDS
while :; do
	if curl -sf -m 10 -o /dev/null "$1"; then answered=$((answered + 1)); else failed=$((failed + 1)); fi
	if [ "$SECONDS" -gt "$said" ]; then
		said=$SECONDS
		echo "$answered answered, $failed failed"
	fi
done
