// to: include/linux/sched.h
// adds: cp_unmaps=1
// How many ranges a task has told of that are in progress.
@@
@@
struct task_struct { ...
+#ifdef CONFIG_CP_RANGE
+	/* Ranges that it is unmapping, of an address space with a checkpoint. */
+	unsigned int cp_unmaps;
+#endif
};
