# The two commands are `make run` and `make test`; `make help` lists the rest. This file only says in which order things
# are done: what is done is in the crates and in the scripts that it names.

.DEFAULT_GOAL := help
.PHONY: help run test check e2e bench testbed dist fmt fuzz conformance packages rust tools

# A target folder that the caller chose is respected; cargo takes a relative one from the working directory.
CARGO_TARGET_DIR ?= target
target  := $(abspath $(CARGO_TARGET_DIR))
export CARGO_TARGET_DIR := $(target)
# Where rustup puts cargo, in case the shell of root has not heard of it.
export PATH := $(PATH):$(HOME)/.cargo/bin

dist    := $(target)/dist
triple  := x86_64-unknown-linux-gnu
static  := $(target)/$(triple)/release
testbed := $(target)/debug/testbed
stage   := tests/testbed/stage
# Builds a test program of a crate and prints where it is.
test_program := tests/testbed/test-program
programs := cofferdam cofferdam-vmm cofferdam-share cofferdam-agent testbed-init list-tree storage-suite effective-user unix-connect drive-edu
# How long each fuzz target runs.
SECONDS ?= 60

# Goals that are made at once, for they wait for one another's tests, linkers and disks, not for one another. What is
# started learns nothing of make's own jobs: cargo counts processors by itself, and so does the kernel's build.
at_once := env -u MAKEFLAGS $(MAKE) --no-print-directory AT_ONCE=1 -j
ifdef AT_ONCE
unexport MAKEFLAGS
else
.NOTPARALLEL:
endif

help: ## this list
	@echo 'make TARGET:'
	@sed -n 's/^\([a-z0-9]*\):[^#]*## \(.*\)/    \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: packages rust dist ## build everything and run a container in a microVM, saying what took how long
	@$(stage) 'a container in a microVM' $(testbed) auto --timeout 600 -- $(CURDIR)/tests/testbed/demo $(dist)

test: packages rust ## every check and every test, end-to-end tests last
	@$(at_once) check-stages e2e-program static-programs guest-kernel
	@$(MAKE) --no-print-directory assembled
	@# Without a banner behind it: the last word is the test runner's.
	@printf '\n== end-to-end tests\n' >&2
	@COFFERDAM_DIST=$(dist) COFFERDAM_KERNEL_MOUNT_TEST=$$($(test_program) images kernel_mount) \
	    cargo test -q -p e2e

check: packages rust check-stages ## the part of `make test` that needs no VM; LONG=1 adds a round of fuzzing
ifdef LONG
	@$(MAKE) --no-print-directory fuzz
endif

.PHONY: check-stages
check-stages:
	@$(stage) 'rules of the repository' cargo test -q -p tidy
	@$(stage) 'format' cargo fmt --all --check
	@$(stage) 'lints' cargo clippy -q --workspace --all-targets -- -D warnings
	@# The clients' tests start the real programs.
	@$(stage) 'programs for the unit tests' cargo build -q -p agentd -p vmm -p share
	@# No examples in the documentation are programs: `tests/tidy` says so.
	@$(stage) 'unit tests' cargo test -q --workspace --exclude e2e --exclude tidy --lib --bins --tests
	@$(stage) 'documentation' env RUSTDOCFLAGS='-D warnings' cargo doc -q --workspace --no-deps

e2e: packages rust dist ## end-to-end tests alone; T=NAME runs those whose names hold NAME
	@$(stage) 'end-to-end tests' env COFFERDAM_DIST=$(dist) \
	    COFFERDAM_KERNEL_MOUNT_TEST=$$($(test_program) images kernel_mount) cargo test -q -p e2e -- $(T)

bench: packages rust dist ## counts, bytes and ratios beside QEMU and containerd; T=boot, T=pods or T=storage is one topic of them
	@tests/testbed/packages bench
	@$(stage) 'measurements' env COFFERDAM_DIST=$(dist) cargo run -q -p bench -- $(if $(T),only $(T))

testbed: packages rust tools ## a shell in the nested test host
	@RUSTFLAGS='-C target-feature=+crt-static' \
	    cargo build -q --release --target $(triple) -p testbed --bin testbed-init
	@$(testbed) shell

dist: packages rust ## programs, kernel, guest image, test image and configuration, in target/dist/
	@$(at_once) static-programs guest-kernel
	@$(MAKE) --no-print-directory assembled

.PHONY: assembled static-programs guest-kernel e2e-program
assembled: tools
	@$(stage) 'guest image, test image' tests/testbed/assemble $(static) $(target)/debug $(dist)

static-programs:
	@$(stage) 'static programs' env RUSTFLAGS='-C target-feature=+crt-static' \
	    LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH=/usr/lib/x86_64-linux-gnu \
	    cargo build -q --release --target $(triple) -p cofferdam -p vmm -p share -p agentd -p testbed -p harness $(programs:%=--bin %)

guest-kernel:
	@$(stage) 'guest kernel' kernel-config/build >/dev/null

# After the checks, whose folder of cargo's it shares.
e2e-program: check-stages
	@$(stage) 'end-to-end tests, compiled' cargo test -q -p e2e --no-run

tools:
	@$(stage) 'tools' cargo build -q -p guest-image -p harness -p testbed --bins

fmt: ## format all Rust code
	@cargo fmt --all

fuzz: ## each fuzz target for SECONDS=60
	@tests/testbed/packages fuzz
	@$(stage) 'fuzzing' tests/fuzz/run $(SECONDS)

conformance: packages rust dist ## Kubernetes' tests of container runtimes; CRITEST=path, also CRICTL=path, FOCUS=regex, STREAMS=websocket
	@$(stage) 'conformance tests' env COFFERDAM_DIST=$(dist) CRITEST='$(CRITEST)' CRICTL='$(CRICTL)' FOCUS='$(FOCUS)' STREAMS='$(STREAMS)' \
	    cargo run -q -p conformance -- $(target)/conformance

packages:
	@tests/testbed/packages

rust:
	@tests/testbed/rust
