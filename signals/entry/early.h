// What the runtime may want for a plain run (so has package supervisor), less the one there is, which is the loop's: one that
// watches over goroutines in system calls, one that writes the log and can't, one that sleeps until the scavenger's next turn, one that
// collects garbage, and one on its way to sleep when there is work.
#define threads	5

// A thread that waits for its work: whether that is there, and what runtime·clone is given (stk, gp, fn).
#define slot_given	0
#define slot_stk	8
#define slot_gp		16
#define slot_fn		24
#define slot_size	32
// The most that package supervisor asks for: 9, one for an explanation, two for the termination log, and internal/file.MaxCalls that a dead
// file system can hold.
#define slots		28

// As often the runtime tries to make a thread where there is no room (EAGAIN).
#define tries	20

// The stack of the child that becomes the app, in bytes: what Go functions without a stack check may use, and more.
#define child_stack	4096
