// to: mm/cp_range/entry.c mm/cp_range/walk.c mm/cp_range/bring.c
// adds: swapops=-3
// It must not be included twice here, and compat.h needs it.
@@
@@
-#include <linux/swapops.h>
