// to: mm/cp_range/syscall.c
// adds: task_user_regset_view=-1 cp_notes_fill_compat=-1
// Native programs may have 32 bits, too: compat.c.
@@
identifier f = {cp_is_elf32, cp_fill_notes};
@@
- f(...) { ... }
