// to: mm/cp_range/bring.c
// adds: vfs_llseek=-2 dentry_open=-1 get_swap_device=-1
// No SEEK_DATA yet: holes.c. A fault waits for what it needs.
@@
@@
-#include "../swap.h"

@@
identifier f = {cp_bring_seek_file, cp_bring_seek, cp_bring_wait};
@@
- f(...) { ... }
