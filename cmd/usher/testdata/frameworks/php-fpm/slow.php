<?php
for ($end = microtime(true) + 2; microtime(true) < $end;) {
	usleep(20000); // a signal ends it early
}
echo "ok\n";
