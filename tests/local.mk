# tests/: unit programs print TAP; see tests/tap.h. `make check` runs what needs
# no privileges; ./dev test runs everything.
EXTRA_DIST += tests/tap.h tests/requirements.txt

UNIT_TESTS = tests/unit/test_base tests/unit/test_frame
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

tests_unit_test_base_SOURCES = tests/unit/test_base.c
tests_unit_test_base_LDADD = libbase.a
tests_unit_test_frame_SOURCES = tests/unit/test_frame.c
tests_unit_test_frame_LDADD = liblink.a libbase.a

# What ./dev test runs beside the programs.
EXTRA_DIST += tests/host.py tests/host.sh tests/tap.py \
	tests/job.sh tests/lib.sh tests/run \
	tests/structure/test_binaries.sh tests/structure/test_files.sh \
	tests/structure/test_includes.sh tests/structure/test_man.sh \
	tests/tools/analysis tests/tools/analysis.h \
	tests/tools/dist tests/tools/each.sh tests/tools/fuzz tests/tools/sanitizers \
	tests/tools/unit tests/tools/valgrind
