/*
 * The first process of a pod, for nodes that can get no other: it holds the pod's namespaces, and where the pod's containers share their
 * processes it is the one that takes in what they leave behind. Ends on SIGTERM and SIGINT.
 *
 * Without a C library, so that nothing but a compiler for the target is needed to build it. Signals are blocked and waited for: a handler
 * would need a trampoline, and the kernel keeps blocked signals even for the first process of a namespace, which has no default actions.
 */

#if defined(__x86_64__)

enum { WAIT4 = 61, SIGPROCMASK = 14, SIGTIMEDWAIT = 128, EXIT_GROUP = 231 };

static long call(long number, long a, long b, long c, long d)
{
	long result;
	register long fourth __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
			 : "rcx", "r11", "memory");
	return result;
}

#elif defined(__aarch64__)

enum { WAIT4 = 260, SIGPROCMASK = 135, SIGTIMEDWAIT = 137, EXIT_GROUP = 94 };

static long call(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
			 : "memory");
	return x0;
}

#else
#error "no system calls for this processor"
#endif

/* The kernel's numbers; a set of signals is 64 bits, the first signal being the lowest. */
enum { SIGINT = 2, SIGTERM = 15, SIGCHLD = 17, SIG_BLOCK = 0, WNOHANG = 1, SET_SIZE = 8 };

#define BIT(signal) (1UL << ((signal) - 1))

__attribute__((noreturn)) void _start(void)
{
	static const unsigned long awaited = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGCHLD);

	call(SIGPROCMASK, SIG_BLOCK, (long)&awaited, 0, SET_SIZE);
	for (;;) {
		/* Before each wait: one signal may stand for many children. */
		while (call(WAIT4, -1, 0, WNOHANG, 0) > 0)
			;
		long signal = call(SIGTIMEDWAIT, (long)&awaited, 0, 0, SET_SIZE);

		if (signal == SIGINT || signal == SIGTERM)
			for (;;)
				call(EXIT_GROUP, 0, 0, 0, 0);
	}
}
