// to: mm/cp_range/track.c
// adds: cp_invalidate_start=-2 cp_invalidate_end=-2 cp_track_begin=-2 cp_track_end=-2 cp_can_track=-2
// Changes are told of by hooks.c, not by a notifier.
@@
identifier f = {cp_can_track, cp_event_changes, cp_invalidate_start, cp_invalidate_end,
	cp_alloc_notifier, cp_free_notifier, cp_track_begin, cp_track_end};
@@
- f(...) { ... }

@@
identifier ops;
@@
- static const struct mmu_notifier_ops ops = { ... };
