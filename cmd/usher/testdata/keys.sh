# An app on a terminal (TestForeground): it says what it reads, and which signals it gets.
stty -echo
trap 'echo "<INT>"' INT
trap 'echo "<WINCH>"' WINCH
trap 'exit 42' TERM
echo "<ready>"
while read -r line; do echo "<got $line>"; done
while :; do read -r line && echo "<got $line>"; done
