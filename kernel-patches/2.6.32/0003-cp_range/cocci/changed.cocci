// to: mm/cp_range/changed.c
// adds: try_cmpxchg=-1
// An entry may have two words, and a hypervisor wants to know: compat.h.
@@
@@
- cp_clear_dirty(...) { ... }

@@
expression entry, folio;
@@
- cp_clear_dirty(entry, folio)
+ cp_clear_dirty(vma->vm_mm, base + i * PAGE_SIZE, entry, folio)
