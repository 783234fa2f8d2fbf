# How the app is placed: process group, session, terminal.
read -r pid _ _ _ pgrp sid tty fg _ </proc/self/stat
[ $pgrp = $pid ] && group=own || group=shared
[ $sid = $pid ] && session=own || session=shared
[ $tty = 0 ] && tty=no || { [ $fg = $pgrp ] && tty=foreground || tty=background; }
echo "group $group, session $session, tty $tty;"
