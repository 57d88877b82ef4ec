// to: mm/cp_range/files.c
// adds: kern_path=-1
// No look-up gives up rather than wait: name.c.
@@
@@
- cp_name_leads_to(...) { ... }
