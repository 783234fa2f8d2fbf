// An app that its caller may not signal (set-user-ID root), whose child fills the caller's limit of processes and then sends the caller, its
// parent's parent, signals for two seconds. It ends with 7.
//
// gcc -O2 -static, chmod u+s.
#define _GNU_SOURCE
#include <signal.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

int main(void) {
	time_t end = time(NULL) + 2;
	uid_t caller = getuid();
	pid_t parent = getppid();
	if (setresuid(0, 0, 0)) // before there is somebody whose signals usher could hand on
		return 1;
	if (fork()) {
		while (time(NULL) < end)
			usleep(10000);
		return 7;
	}
	if (setresuid(caller, caller, caller))
		return 1;
	for (;;) {
		pid_t child = fork();
		if (child == 0)
			for (;;)
				pause();
		if (child < 0)
			break;
	}
	for (unsigned random = caller;; random = random * 1103515245 + 12345) {
		for (int i = 0; i < 100; i++)
			sigqueue(parent, i & 1 ? SIGUSR1 : SIGRTMIN + i % 20, (union sigval){.sival_int = i});
		usleep((random >> 16) % 3000);
	}
}
