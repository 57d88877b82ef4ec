# SPDX-License-Identifier: GPL-2.0
#
# Which file is a test, and which another program; for the Makefile here and for the
# one above. A test is a NAME.c or NAME.t of a room; README says what each room promises.

rooms	:= saved changed moment restart trust images oracle bench harness

rooms-in := $(filter-out ./,$(dir $(lastword $(MAKEFILE_LIST))))
rooms-has = $(patsubst $(rooms-in)%,%,$(wildcard $(addprefix $(rooms-in),$(1))))

# what several programs of a room, or a big one, are made of
parts	:= $(filter-out oracle/oracle.c,$(call rooms-has,oracle/*.c)) \
	$(call rooms-has,bench/schemes*.c bench/workload.c)
# `make bench` runs these two
measures := bench/bench.c bench/bystanders.c
tests	:= $(sort $(filter-out $(parts) $(measures),\
	$(call rooms-has,$(rooms:=/*.c) $(rooms:=/*.t))))
program-sources := $(filter %.c,$(tests)) $(measures) $(call rooms-has,helpers/*.c demo/*.c)

# All programs lie in one folder of the guest, and each test has one of the host.
rooms-twice = $(strip $(foreach f,$(1),$(if $(word 2,$(filter %/$(notdir $(f)),$(1))),$(f))))
ifneq ($(call rooms-twice,$(program-sources))$(call rooms-twice,$(tests)),)
$(error two of one name: $(call rooms-twice,$(program-sources) $(tests)))
endif
