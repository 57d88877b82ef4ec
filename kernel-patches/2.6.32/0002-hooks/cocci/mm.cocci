// to: include/linux/mm_types.h
// adds: cp_mm=2
// What the next checkpoint of an address space builds on.
@@
@@
struct mm_struct { ...
+#ifdef CONFIG_CP_RANGE
+	/* What the next checkpoint of this address space builds on. */
+	struct cp_mm *cp_mm;
+#endif
};
