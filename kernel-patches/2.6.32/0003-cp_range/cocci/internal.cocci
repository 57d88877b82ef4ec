// to: mm/cp_range/internal.h
// adds: mmu_notifier=-1
// Changes are told of by hooks.c, not by a notifier.
@@
@@
struct cp_mm {
	...
-	struct mmu_notifier notifier;
	...
};
