// The app that bench measures inits with, without a C library's start: its first instruction is its own.
//
//   app exec PROGRAM ARGS...   note the time and become PROGRAM
//   app end                    end after a moment
//   app signals                take signals, and say so on stdout after SIGUSR1
//   app orphans N              at SIGUSR1, leave N processes to the init, and say so on stdout
//
// gcc -O2 -static -nostartfiles; descriptor 3 is a page shared with bench.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call run\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: mov x0, sp\n bl run\n");
#endif

// What bench reads; see page in run.go. Times are CLOCK_MONOTONIC's, in nanoseconds.
static volatile struct {
	uint64_t exec, first, last, signal; // when
	uint64_t arrived, ordered, set;     // signals: how many, with the next value, which
} *page;

static uint64_t now(void) {
	struct timespec t;
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int wait_signal(siginfo_t *info) {
	uint64_t all = -1;
	return syscall(SYS_rt_sigtimedwait, &all, info, 0, sizeof all);
}

void run(long *stack) {
	uint64_t first = now(), all = -1;
	char **argv = (char **)(stack + 1), **envp = argv + stack[0] + 1;
	siginfo_t info;
	page = (void *)syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
	if (argv[1][0] == 'e' && argv[1][1] == 'x') {
		page->exec = now();
		syscall(SYS_execve, argv[2], argv + 2, envp);
		syscall(SYS_exit_group, 127);
	}
	page->first = first;
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, 0, sizeof all);
	if (argv[1][0] == 'e') {
		struct timespec moment = {0, 30000000}; // the init has nothing of its own start left to do
		syscall(SYS_nanosleep, &moment, 0);
		page->last = now();
		syscall(SYS_exit_group, 0);
	}
	syscall(SYS_write, 1, "r", 1);
	long orphans = 0;
	for (char *c = argv[1][0] == 'o' ? argv[2] : ""; *c; c++)
		orphans = orphans * 10 + *c - '0';
	for (;;) {
		int sig = wait_signal(&info);
		if (sig <= 0)
			continue;
		page->signal = now();
		page->set |= 1ull << (sig - 1);
		if (info.si_code == SI_QUEUE && (uint64_t)info.si_value.sival_int == page->ordered)
			page->ordered++;
		page->arrived++;
		if (sig != SIGUSR1)
			continue;
		for (long i = 0; i < orphans; i++) {
			long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
			if (child == 0) {
				syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
				syscall(SYS_exit_group, 0);
			}
			syscall(SYS_wait4, child, 0, 0, 0);
		}
		syscall(SYS_write, 1, "s", 1);
	}
}
