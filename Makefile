# SPDX-License-Identifier: GPL-2.0
#
# cp_range: build the kernel with the series, boot it, test it. Try `make help`.

DEFAULT_KERNEL := 6.12

KERNEL	?= $(DEFAULT_KERNEL)
BUILD	?= $(CURDIR)/build
JOBS	?= $(shell nproc)
V	?= 0
ARCH	?= x86_64

export KERNEL BUILD JOBS V LINUX_SRC ARCH FORCE PATCH WALL REPEATS ONLY

# What each goal is made of, for messages like "[2/6]"
i386	:= $(if $(filter i386%,$(ARCH)),i386)
STEPS.deps	:= deps
STEPS.tree	:= deps tree
STEPS.series	:= deps series
STEPS.kernel	:= $(STEPS.tree) kernel
STEPS.kernel-debug := $(STEPS.tree) kernel-debug
STEPS.kernel-off := $(STEPS.tree) kernel-off
STEPS.kernel-plain := $(STEPS.tree) kernel-plain
STEPS.kernel-coverage := $(STEPS.tree) kernel-coverage
STEPS.headers	:= $(STEPS.tree) headers
STEPS.tests	:= $(STEPS.headers) $(i386) tests initramfs
STEPS.tools	:= deps tools
STEPS.fuzz	:= deps-fuzz fuzz
STEPS.run	:= $(STEPS.kernel) headers $(i386) tests initramfs tools run
STEPS.shell	:= $(STEPS.kernel) headers $(i386) tests initramfs
STEPS.test	:= $(STEPS.kernel) headers $(i386) tests initramfs tools test
STEPS.test-debug := $(STEPS.kernel-debug) headers $(i386) tests initramfs tools test
STEPS.coverage	:= $(STEPS.kernel-coverage) headers $(i386) tests initramfs tools deps-coverage test coverage
STEPS.bench	:= $(STEPS.kernel) kernel-plain headers $(i386) tests initramfs deps-bench bench bystanders report
STEPS.soak	:= $(STEPS.kernel) headers $(i386) tests initramfs soak
STEPS.kills	:= $(STEPS.kernel) headers $(i386) tests initramfs tools deps-kills kills
STEPS.selftests := $(STEPS.kernel) kernel-plain headers $(i386) tests initramfs deps-selftests selftests
STEPS.check	:= $(if $(filter $(DEFAULT_KERNEL),$(KERNEL)),$(STEPS.kernel) headers) deps-check
STEPS.check-each := $(STEPS.kernel)
STEPS.test-off	:= $(STEPS.kernel-off) headers $(i386) tests initramfs
export STEPS := $(STEPS.$(firstword $(MAKECMDGOALS)))

# Before a recipe: scripts/lib.sh, which knows where BUILD really is ($$BUILD, a path
# without spaces).
lib	= @. scripts/lib.sh;
say	= $(lib) step

# Test programs are the same for every kernel, so they are built with the headers
# of one; for one of 32 bits, with a compiler of their own.
tests-make = headers=$$BUILD/$(DEFAULT_KERNEL); $(MAKE) --no-print-directory -C userspace-tests \
	OUT=$$tests LINUX=$$headers/linux HEADERS=$$headers/headers/include \
	$(if $(i386),I386=$$BUILD/i386)
# What a test has to say is shown when it is asked for by name.
named	:= $(if $(filter test test-debug coverage,$(MAKECMDGOALS)),$(TESTS:%/=%))
verbose	:= $(if $(strip $(named)),--verbose)
# TESTS is rooms and tests: changed, changed/traps.c, traps, with or without the folder.
include userspace-tests/rooms.mk
define no-test
userspace-tests has no room or test $(1). There are these, by room:
$(foreach r,$(rooms),
  $(r): $(patsubst $(r)/%,%,$(filter $(r)/%,$(tests))))

endef
find-test = $(or $(filter $(1) $(1)/% %/$(1) %/$(1).c %/$(1).t,$(tests)),$(error $(call no-test,$(1))))
# The long ones first, so that no processor waits for them in the end.
long	:= bench/cost.c bench/restore_cost.c changed/races.c oracle/oracle.c
wanted	:= $(or $(sort $(foreach t,$(named:userspace-tests/%=%),$(call find-test,$(t)))),$(tests))
wanted	:= $(addprefix userspace-tests/,$(filter $(long),$(wanted)) $(filter-out $(long),$(wanted)))
# counted instructions say nothing about a kernel that does more
test-debug coverage: wanted := $(filter-out %cost.c,$(wanted))

SHELL	:= /bin/bash
.NOTPARALLEL:
.PHONY: help deps tree series refresh kernel kernel-debug kernel-off headers \
	headers-of-tests tests tools install fuzz initramfs run test test-debug test-off check \
	check-each shell kernel-plain kernel-coverage coverage bench soak kills selftests \
	clean distclean

help:
	@echo 'Main targets; each makes first what it needs:'
	@echo '  run           see a program checkpoint itself, and gdb read the image'
	@echo '  test          run all the tests (TESTS="changed saved/file.c" for some: a room,'
	@echo '                or a test, of userspace-tests/README)'
	@echo
	@echo 'Steps:'
	@echo '  deps          install the Debian packages that are missing'
	@echo '  tree          unpack the kernel source and push the series'
	@echo '  kernel        build the kernel (kernel-debug: with KASAN, lockdep, kmemleak;'
	@echo '                kernel-off: with CONFIG_CP_RANGE off; kernel-plain: without the series;'
	@echo '                kernel-coverage: counts which lines run)'
	@echo '  headers       install its headers for the tests'
	@echo '  tests         build the test programs and the initramfs'
	@echo '  tools         build cpimg and libcpimg, the tools that read images'
	@echo '  install       install them with headers and man pages (PREFIX=/usr/local DESTDIR=)'
	@echo
	@echo 'For developers:'
	@echo '  series        OUT=DIR: the patches for a kernel that has steps (KERNEL=2.6.32), for the'
	@echo '                very source that is there, to be taken by git am, quilt or patch -p1'
	@echo '  refresh       put what was edited in $(subst $(CURDIR)/,,$(BUILD))/$(KERNEL)/linux into the patches'
	@echo '                (PATCH=name: files new to the series go there)'
	@echo '  test-debug    the tests on the debug kernel'
	@echo '  coverage      which lines of the new kernel files the tests run: a table, and'
	@echo '                which do not'
	@echo '  bench         measure us against the others: tables and plots (WALL=1: by'
	@echo '                the clock, in a KVM guest; WALL=here: on this very kernel)'
	@echo '  selftests     the kernel'"'"'s own tests, with the series and without'
	@echo '  test-off      boot a kernel with CONFIG_CP_RANGE off'
	@echo '  soak          what is random, seed after seed (MINUTES=10; CP_VARIANT=debug)'
	@echo '  kills         real programs under cprun are killed, and go on (COUNT=20 times each;'
	@echo '                PROGRAMS="python xz": some of them; SEED=N: the same again)'
	@echo '  check         checkpatch, sparse, W=1, clang, coccicheck, shellcheck, does it apply'
	@echo '  check-each    build after each patch (slow)'
	@echo '  fuzz          fuzz the reader of images (MINUTES=10)'
	@echo '  shell         a shell in a guest (GUEST="--mem 1024": options of guest.sh)'
	@echo '  clean         remove kernels and programs; distclean: all that was made'
	@echo
	@echo 'Variables: KERNEL=$(KERNEL)  BUILD=$(subst $(CURDIR)/,,$(BUILD))  JOBS=$(JOBS)  V=1 (show all output)'
	@echo '  LINUX_SRC=  a kernel tree or tarball instead of the Debian package; it is not written to'
	@echo '  KERNEL=     one of $(notdir $(wildcard kernel-patches/*)). With 2.6.32: ARCH=i386 (or i386-pae)'

deps:
	@scripts/deps.sh

tree: deps
	@scripts/tree.sh

series: deps
	@scripts/tree.sh series "$(OUT)"

refresh:
	@scripts/refresh.sh

kernel: tree
	@scripts/kernel.sh normal

kernel-debug: tree
	@scripts/kernel.sh debug

kernel-off: tree
	@scripts/kernel.sh off

kernel-plain: tree
	@scripts/kernel.sh plain

kernel-coverage: tree
	@scripts/kernel.sh coverage

headers: tree
	@scripts/headers.sh

ifeq ($(KERNEL),$(DEFAULT_KERNEL))
headers-of-tests: headers
else
headers-of-tests: deps
	@KERNEL=$(DEFAULT_KERNEL) ARCH=x86_64 LINUX_SRC= scripts/deps.sh
	@KERNEL=$(DEFAULT_KERNEL) ARCH=x86_64 LINUX_SRC= scripts/tree.sh
	@KERNEL=$(DEFAULT_KERNEL) ARCH=x86_64 LINUX_SRC= scripts/headers.sh
endif

tests: headers-of-tests
	@scripts/i386.sh
	$(say) tests "Test programs, in $$tests"; $(tests-make) -j$(JOBS)
	@scripts/initramfs.sh

tools: deps
	$(say) tools "Tools, in $$BUILD/tools"; \
		$(MAKE) --no-print-directory -C userspace-tools OUT=$$BUILD/tools -j$(JOBS)

# Needs no kernel, and installs no packages: `make tools` does that.
install:
	$(say) install "Tools, into $(DESTDIR)$(or $(PREFIX),/usr/local)"; \
		$(MAKE) --no-print-directory -C userspace-tools OUT=$$BUILD/tools install

fuzz:
	@scripts/deps.sh fuzz
	@scripts/fuzz.sh

run: kernel tests tools
	@scripts/run.sh

# What tests say on stderr goes past prove, which waits for a line of a test's output when
# it has read one of its stderr, and starts no other test meanwhile: tap.sh has it as 9.
prove	= scripts/failed.sh forget; TAP_STDERR=9 prove --timer --jobs $(JOBS) $(verbose) --exec scripts/tap.sh \
	$(or $(wanted),$(error $(TESTS): not on this kernel)) 9>&2 || \
	{ status=$$?; scripts/failed.sh; exit $$status; }

test: export CP_VARIANT := normal
test-debug: export CP_VARIANT := debug
coverage: export CP_VARIANT := coverage
test: kernel tests tools
	$(say) test "Tests, each in a fresh guest"
	@$(prove)

test-debug: kernel-debug tests tools
	$(say) test "Tests on the debug kernel, each in a fresh guest"
	@$(prove)

# A test that fails is no reason to keep the report back.
coverage: kernel-coverage tests tools
	@scripts/deps.sh coverage
	$(say) test "Tests on the coverage kernel, each in a fresh guest"
	$(lib) rm -rf $$BUILD/coverage/data
	@status=0; ($(prove)) || status=$$?; \
		scripts/coverage.sh $(if $(verbose),,95) && exit $$status

soak: kernel$(if $(filter debug,$(CP_VARIANT)),-debug) tests
	@scripts/soak.sh

kills: kernel tests tools
	@scripts/deps.sh kills
	@scripts/kills.sh $(PROGRAMS)

test-off: kernel-off tests
	@scripts/guest.sh --kernel off /tests/enosys

bench: kernel kernel-plain tests
	@scripts/bench.sh

selftests: kernel kernel-plain tests
	@scripts/selftests.sh

# The steps of a kernel need no kernel to be checked.
ifeq ($(KERNEL),$(DEFAULT_KERNEL))
check: kernel headers
else
check: deps
endif
	@scripts/check.sh

check-each: kernel
	@scripts/check-each.sh

shell: kernel tests
	@scripts/shell.sh $(GUEST)

clean:
	@scripts/clean.sh

distclean:
	@scripts/clean.sh all
