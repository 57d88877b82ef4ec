// to: mm/cp_range/entry.c mm/cp_range/walk.c mm/cp_range/bring.c mm/cp_range/changed.c
// adds: swapops=-4
// It must not be included twice here, and compat.h needs it.
@@
@@
-#include <linux/swapops.h>
