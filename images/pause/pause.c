/*
 * pause keeps a pod's namespaces open, reaps what is left to it and ends at
 * SIGTERM or SIGINT. It is every pod's first process, so it is made small: no
 * libc, no stack beyond one page, four system calls.
 *
 * cc -Os -static -nostdlib -ffreestanding -fno-stack-protector -Wl,--build-id=none,-z,noseparate-code pause.c
 */
#include <asm/unistd.h>

#define SIGINT 2
#define SIGTERM 15
#define SIGCHLD 17
#define SIG_BLOCK 0
#define WNOHANG 1
#define BIT(sig) (1UL << ((sig) - 1))

static long call(long nr, long a, long b, long c, long d)
{
#if defined(__x86_64__)
	long ret;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
#else
#error "pause: no system call for this machine"
#endif
}

void _start(void)
{
	/* Blocked signals stay pending even for pid 1, whose unhandled ones are dropped. */
	unsigned long set = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGCHLD);

	call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&set, 0, sizeof set);
	for (;;) {
		long sig = call(__NR_rt_sigtimedwait, (long)&set, 0, 0, sizeof set);

		if (sig == SIGINT || sig == SIGTERM)
			call(__NR_exit_group, 0, 0, 0, 0);
		while (call(__NR_wait4, -1, 0, WNOHANG, 0) > 0)
			;
	}
}
