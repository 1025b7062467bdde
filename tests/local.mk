# tests/: unit programs print TAP; see tests/tap.h. `make check` runs what needs
# no privileges; ./dev test runs everything.
EXTRA_DIST += tests/tap.h tests/requirements.txt

UNIT_TESTS = tests/unit/test_admission tests/unit/test_base \
	tests/unit/test_broker tests/unit/test_cgroup \
	tests/unit/test_frame tests/unit/test_host tests/unit/test_memory \
	tests/unit/test_meter tests/unit/test_store tests/unit/test_snapshot \
	tests/unit/test_wake tests/unit/test_watch
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

tests_unit_test_base_SOURCES = tests/unit/test_base.c
tests_unit_test_base_LDADD = libbase.a
tests_unit_test_broker_SOURCES = tests/unit/test_broker.c
tests_unit_test_broker_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_unit_test_cgroup_SOURCES = tests/unit/test_cgroup.c
tests_unit_test_cgroup_LDADD = libbase.a
tests_unit_test_frame_SOURCES = tests/unit/test_frame.c
tests_unit_test_frame_LDADD = liblink.a libbase.a
tests_unit_test_admission_SOURCES = tests/unit/test_admission.c
tests_unit_test_admission_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_unit_test_store_SOURCES = tests/unit/test_store.c
tests_unit_test_store_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_unit_test_snapshot_SOURCES = tests/unit/test_snapshot.c
tests_unit_test_snapshot_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_unit_test_memory_SOURCES = tests/unit/test_memory.c
tests_unit_test_memory_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_unit_test_meter_SOURCES = tests/unit/test_meter.c
tests_unit_test_meter_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_unit_test_host_SOURCES = tests/unit/test_host.c
tests_unit_test_host_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_unit_test_wake_SOURCES = tests/unit/test_wake.c
tests_unit_test_wake_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_unit_test_watch_SOURCES = tests/unit/test_watch.c
tests_unit_test_watch_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)

# What ./dev test runs beside the programs.
EXTRA_DIST += examples/run_notebook.py tests/peer/build tests/peer/requirements.txt \
	tests/host.py tests/host.sh tests/tap.py \
	tests/job.sh tests/lib.sh tests/run \
	tests/count.awk tests/sandbox/test_image.sh \
	tests/structure/test_count.sh tests/structure/test_dev.sh \
	tests/structure/test_binaries.sh tests/structure/test_files.sh \
	tests/structure/test_includes.sh tests/structure/test_man.sh \
	tests/tools/analysis tests/tools/analysis.h tests/tools/cppcheck.cfg \
	tests/tools/coverage tests/tools/coverage.floor tests/tools/coverage.h \
	tests/tools/coverage.py tests/tools/dist tests/tools/each.sh tests/tools/fuzz \
	tests/tools/sanitizers tests/tools/threads tests/tools/threads.supp \
	tests/tools/unit tests/tools/valgrind

# The jupyter library: one program a module; cases as files under tests/data.
JUPYTER_TESTS = \
	tests/unit/test_connfile \
	tests/unit/test_header \
	tests/unit/test_json \
	tests/unit/test_jsontree \
	tests/unit/test_replay \
	tests/unit/test_reply \
	tests/unit/test_schema \
	tests/unit/test_sign \
	tests/unit/test_utf8 \
	tests/unit/test_uuid \
	tests/unit/test_wire
JUPYTER_TEST_LIBS = libjupyter.a liblink.a libbase.a $(JANSSON_LIBS) $(CRYPTO_LIBS)
check_PROGRAMS += $(JUPYTER_TESTS)
TESTS += $(JUPYTER_TESTS)
EXTRA_DIST += tests/data.h tests/data/README.md tests/data/record-wire.py tests/data/connfile \
	tests/data/json tests/data/wire

tests_unit_test_connfile_SOURCES = tests/unit/test_connfile.c
tests_unit_test_connfile_LDADD = $(JUPYTER_TEST_LIBS)
tests_unit_test_header_SOURCES = tests/unit/test_header.c
tests_unit_test_header_LDADD = $(JUPYTER_TEST_LIBS)
tests_unit_test_json_SOURCES = tests/unit/test_json.c
tests_unit_test_json_LDADD = $(JUPYTER_TEST_LIBS)
tests_unit_test_jsontree_SOURCES = tests/unit/test_jsontree.c
tests_unit_test_jsontree_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_jsontree_LDADD = $(JUPYTER_TEST_LIBS)
tests_unit_test_replay_SOURCES = tests/unit/test_replay.c
tests_unit_test_replay_LDADD = $(JUPYTER_TEST_LIBS)
tests_unit_test_reply_SOURCES = tests/unit/test_reply.c
tests_unit_test_reply_LDADD = $(JUPYTER_TEST_LIBS)
tests_unit_test_schema_SOURCES = tests/unit/test_schema.c
tests_unit_test_schema_LDADD = $(JUPYTER_TEST_LIBS)
tests_unit_test_sign_SOURCES = tests/unit/test_sign.c
tests_unit_test_sign_LDADD = $(JUPYTER_TEST_LIBS)
tests_unit_test_utf8_SOURCES = tests/unit/test_utf8.c
tests_unit_test_utf8_LDADD = $(JUPYTER_TEST_LIBS)
tests_unit_test_uuid_SOURCES = tests/unit/test_uuid.c
tests_unit_test_uuid_LDADD = $(JUPYTER_TEST_LIBS)
tests_unit_test_wire_SOURCES = tests/unit/test_wire.c
tests_unit_test_wire_LDADD = $(JUPYTER_TEST_LIBS)

# The seccomp programs, by an evaluator; and the suite that attacks from inside.
UNIT_FILTER = tests/unit/test_filter
check_PROGRAMS += $(UNIT_FILTER)
TESTS += $(UNIT_FILTER)
EXTRA_DIST += tests/data/seccomp tests/escape

tests_unit_test_filter_SOURCES = tests/unit/test_filter.c tests/unit/cbpf.h
tests_unit_test_filter_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)

# Images: what reads foreign names and JSON; trees.
IMAGE_TESTS = tests/unit/test_image_manifest tests/unit/test_image_path \
	tests/unit/test_image_tree
IMAGE_TEST_LIBS = libimport.a libimage.a libhost.a liblink.a libbase.a $(ARCHIVE_LIBS) \
	$(JANSSON_LIBS) $(CRYPTO_LIBS) $(SECCOMP_LIBS)
check_PROGRAMS += $(IMAGE_TESTS)
TESTS += $(IMAGE_TESTS)

tests_unit_test_image_manifest_SOURCES = tests/unit/test_image_manifest.c
tests_unit_test_image_manifest_LDADD = $(IMAGE_TEST_LIBS)
tests_unit_test_image_path_SOURCES = tests/unit/test_image_path.c
tests_unit_test_image_path_LDADD = $(IMAGE_TEST_LIBS)
tests_unit_test_image_tree_SOURCES = tests/unit/test_image_tree.c
tests_unit_test_image_tree_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS)
tests_unit_test_image_tree_LDADD = $(IMAGE_TEST_LIBS)

# The command line.
CLI_TESTS = tests/unit/test_cli_links tests/unit/test_cli_notebook \
	tests/unit/test_cli_option tests/unit/test_cli_text
CLI_TEST_LIBS = libcli.a libjupyter.a liblink.a libbase.a $(CURL_LIBS) $(JANSSON_LIBS)
check_PROGRAMS += $(CLI_TESTS)
TESTS += $(CLI_TESTS)
EXTRA_DIST += tests/structure/test_cli_docs.sh tests/system/test_cli_run.py

tests_unit_test_cli_links_SOURCES = tests/unit/test_cli_links.c
tests_unit_test_cli_links_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_cli_links_LDADD = $(CLI_TEST_LIBS)
tests_unit_test_cli_notebook_SOURCES = tests/unit/test_cli_notebook.c
tests_unit_test_cli_notebook_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_cli_notebook_LDADD = $(CLI_TEST_LIBS)
tests_unit_test_cli_option_SOURCES = tests/unit/test_cli_option.c
tests_unit_test_cli_option_LDADD = $(CLI_TEST_LIBS)
tests_unit_test_cli_text_SOURCES = tests/unit/test_cli_text.c
tests_unit_test_cli_text_LDADD = $(CLI_TEST_LIBS)

# Archives of snapshots.
ARCHIVE_TEST_LIBS = libarchives.a libimage.a libhost.a liblink.a libbase.a \
	$(CRYPTO_LIBS) $(SECCOMP_LIBS)
check_PROGRAMS += tests/unit/test_archive
TESTS += tests/unit/test_archive
tests_unit_test_archive_SOURCES = tests/unit/test_archive.c
tests_unit_test_archive_LDADD = $(ARCHIVE_TEST_LIBS)

# Fuzz targets. Plain builds replay the corpus in make check; --enable-fuzzing
# links them with libFuzzer instead.
FUZZ_TARGETS = \
	tests/fuzz/fuzz_archive \
	tests/fuzz/fuzz_base64 \
	tests/fuzz/fuzz_broker \
	tests/fuzz/fuzz_cgroup \
	tests/fuzz/fuzz_coalesce \
	tests/fuzz/fuzz_connfile \
	tests/fuzz/fuzz_criu \
	tests/fuzz/fuzz_frame \
	tests/fuzz/fuzz_header \
	tests/fuzz/fuzz_image_path \
	tests/fuzz/fuzz_json \
	tests/fuzz/fuzz_limits \
	tests/fuzz/fuzz_manifest \
	tests/fuzz/fuzz_merge \
	tests/fuzz/fuzz_mime64 \
	tests/fuzz/fuzz_notebook \
	tests/fuzz/fuzz_outputs \
	tests/fuzz/fuzz_queue \
	tests/fuzz/fuzz_record \
	tests/fuzz/fuzz_schema \
	tests/fuzz/fuzz_snapshot \
	tests/fuzz/fuzz_stat \
	tests/fuzz/fuzz_strings \
	tests/fuzz/fuzz_text \
	tests/fuzz/fuzz_utf8 \
	tests/fuzz/fuzz_wire \
	tests/fuzz/fuzz_words
check_PROGRAMS += $(FUZZ_TARGETS)
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz_gateway.py
if FUZZING
FUZZ_MAIN = tests/fuzz/fuzz.h
LINK_FUZZ = $(AM_LDFLAGS) -fsanitize=fuzzer
else
FUZZ_MAIN = tests/fuzz/fuzz.h tests/fuzz/standalone.c
LINK_FUZZ = $(AM_LDFLAGS)
TESTS += $(FUZZ_TARGETS)
endif

tests_fuzz_fuzz_archive_SOURCES = tests/fuzz/fuzz_archive.c $(FUZZ_MAIN)
tests_fuzz_fuzz_archive_LDADD = $(ARCHIVE_TEST_LIBS)
tests_fuzz_fuzz_archive_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_base64_SOURCES = tests/fuzz/fuzz_base64.c $(FUZZ_MAIN)
tests_fuzz_fuzz_base64_LDADD = $(GATEWAY_TEST_LIBS)
tests_fuzz_fuzz_base64_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_broker_SOURCES = tests/fuzz/fuzz_broker.c $(FUZZ_MAIN)
tests_fuzz_fuzz_broker_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_fuzz_fuzz_broker_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_cgroup_SOURCES = tests/fuzz/fuzz_cgroup.c $(FUZZ_MAIN)
tests_fuzz_fuzz_cgroup_LDADD = libbase.a
tests_fuzz_fuzz_cgroup_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_coalesce_SOURCES = tests/fuzz/fuzz_coalesce.c $(FUZZ_MAIN)
tests_fuzz_fuzz_coalesce_LDADD = $(GATEWAY_TEST_LIBS)
tests_fuzz_fuzz_coalesce_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_connfile_SOURCES = tests/fuzz/fuzz_connfile.c $(FUZZ_MAIN)
tests_fuzz_fuzz_connfile_LDADD = $(JUPYTER_TEST_LIBS)
tests_fuzz_fuzz_connfile_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_criu_SOURCES = tests/fuzz/fuzz_criu.c $(FUZZ_MAIN)
tests_fuzz_fuzz_criu_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_fuzz_fuzz_criu_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c $(FUZZ_MAIN)
tests_fuzz_fuzz_frame_LDADD = $(JUPYTER_TEST_LIBS)
tests_fuzz_fuzz_frame_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_header_SOURCES = tests/fuzz/fuzz_header.c $(FUZZ_MAIN)
tests_fuzz_fuzz_header_LDADD = $(JUPYTER_TEST_LIBS)
tests_fuzz_fuzz_header_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_json_SOURCES = tests/fuzz/fuzz_json.c $(FUZZ_MAIN)
tests_fuzz_fuzz_json_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_json_LDADD = $(JUPYTER_TEST_LIBS)
tests_fuzz_fuzz_json_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_limits_SOURCES = tests/fuzz/fuzz_limits.c $(FUZZ_MAIN)
tests_fuzz_fuzz_limits_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_limits_LDADD = $(GATEWAY_TEST_LIBS)
tests_fuzz_fuzz_limits_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_image_path_SOURCES = tests/fuzz/fuzz_image_path.c $(FUZZ_MAIN)
tests_fuzz_fuzz_image_path_LDADD = $(IMAGE_TEST_LIBS)
tests_fuzz_fuzz_image_path_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_manifest_SOURCES = tests/fuzz/fuzz_manifest.c $(FUZZ_MAIN)
tests_fuzz_fuzz_manifest_LDADD = $(IMAGE_TEST_LIBS)
tests_fuzz_fuzz_manifest_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_merge_SOURCES = tests/fuzz/fuzz_merge.c $(FUZZ_MAIN)
tests_fuzz_fuzz_merge_LDADD = libinit.a liblink.a libbase.a
tests_fuzz_fuzz_merge_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_mime64_SOURCES = tests/fuzz/fuzz_mime64.c $(FUZZ_MAIN)
tests_fuzz_fuzz_mime64_LDADD = $(CLI_TEST_LIBS)
tests_fuzz_fuzz_mime64_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_notebook_SOURCES = tests/fuzz/fuzz_notebook.c $(FUZZ_MAIN)
tests_fuzz_fuzz_notebook_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_notebook_LDADD = $(CLI_TEST_LIBS)
tests_fuzz_fuzz_notebook_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_outputs_SOURCES = tests/fuzz/fuzz_outputs.c $(FUZZ_MAIN)
tests_fuzz_fuzz_outputs_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_outputs_LDADD = $(CLI_TEST_LIBS)
tests_fuzz_fuzz_outputs_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_queue_SOURCES = tests/fuzz/fuzz_queue.c $(FUZZ_MAIN)
tests_fuzz_fuzz_queue_LDADD = libinit.a liblink.a libbase.a
tests_fuzz_fuzz_queue_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_snapshot_SOURCES = tests/fuzz/fuzz_snapshot.c $(FUZZ_MAIN)
tests_fuzz_fuzz_snapshot_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_fuzz_fuzz_snapshot_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_record_SOURCES = tests/fuzz/fuzz_record.c $(FUZZ_MAIN)
tests_fuzz_fuzz_record_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)
tests_fuzz_fuzz_record_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_schema_SOURCES = tests/fuzz/fuzz_schema.c $(FUZZ_MAIN)
tests_fuzz_fuzz_schema_LDADD = $(JUPYTER_TEST_LIBS)
tests_fuzz_fuzz_schema_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_stat_SOURCES = tests/fuzz/fuzz_stat.c $(FUZZ_MAIN)
tests_fuzz_fuzz_stat_LDADD = libinit.a liblink.a libbase.a
tests_fuzz_fuzz_stat_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_strings_SOURCES = tests/fuzz/fuzz_strings.c $(FUZZ_MAIN)
tests_fuzz_fuzz_strings_LDADD = libinit.a liblink.a libbase.a
tests_fuzz_fuzz_strings_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_text_SOURCES = tests/fuzz/fuzz_text.c $(FUZZ_MAIN)
tests_fuzz_fuzz_text_LDADD = $(CLI_TEST_LIBS)
tests_fuzz_fuzz_text_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_utf8_SOURCES = tests/fuzz/fuzz_utf8.c $(FUZZ_MAIN)
tests_fuzz_fuzz_utf8_LDADD = $(JUPYTER_TEST_LIBS)
tests_fuzz_fuzz_utf8_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_wire_SOURCES = tests/fuzz/fuzz_wire.c $(FUZZ_MAIN)
tests_fuzz_fuzz_wire_LDADD = $(JUPYTER_TEST_LIBS)
tests_fuzz_fuzz_wire_LDFLAGS = $(LINK_FUZZ)
tests_fuzz_fuzz_words_SOURCES = tests/fuzz/fuzz_words.c $(FUZZ_MAIN)
tests_fuzz_fuzz_words_LDADD = $(CLI_TEST_LIBS)
tests_fuzz_fuzz_words_LDFLAGS = $(LINK_FUZZ)

# kernelhost-init: its pure modules, then the program, driven from outside.
INIT_TESTS = tests/unit/test_journal tests/unit/test_merge tests/unit/test_queue
check_PROGRAMS += $(INIT_TESTS)
INIT_PROGRAM_TESTS = tests/sandbox/test_init.py tests/sandbox/test_init_exec.py \
	tests/sandbox/test_init_checkpoint.py \
	tests/sandbox/test_init_hostile.py tests/sandbox/test_init_journal.py
TESTS += $(INIT_TESTS) $(INIT_PROGRAM_TESTS)
EXTRA_DIST += $(INIT_PROGRAM_TESTS) tests/sandbox/init_client.py \
	tests/sandbox/init_runner/python/__main__.py

tests_unit_test_journal_SOURCES = tests/unit/test_journal.c
tests_unit_test_journal_LDADD = libinit.a liblink.a libbase.a
tests_unit_test_merge_SOURCES = tests/unit/test_merge.c
tests_unit_test_merge_LDADD = libinit.a liblink.a libbase.a
tests_unit_test_queue_SOURCES = tests/unit/test_queue.c
tests_unit_test_queue_LDADD = libinit.a liblink.a libbase.a

# The Python runner, driven from outside, and compared with ipykernel.
EXTRA_DIST += tests/sandbox/interpreters.py tests/sandbox/runner_harness.py \
	tests/sandbox/test_runner.py tests/sandbox/test_runner_comm.py \
	tests/sandbox/test_runner_life.py \
	tests/sandbox/test_runner_equal.py tests/system/compare_ipykernel.py \
	tests/data/cells

# The gateway's pure modules.
GATEWAY_TESTS = tests/unit/test_coalesce tests/unit/test_confine \
	tests/unit/test_database tests/unit/test_death tests/unit/test_ledger \
	tests/unit/test_life tests/unit/test_limits tests/unit/test_message \
	tests/unit/test_quota tests/unit/test_usage \
	tests/unit/test_request tests/unit/test_tail tests/unit/test_written \
	tests/unit/test_zmtp
GATEWAY_TEST_LIBS = libgateway.a libjupyter.a liblink.a libbase.a $(JANSSON_LIBS) \
	$(CRYPTO_LIBS) -lm
check_PROGRAMS += $(GATEWAY_TESTS)
# And the program, between a stand-in for kernelhostd and hostile sandboxes.
GATEWAY_PROGRAM_TESTS = tests/sandbox/test_gateway.py \
	tests/sandbox/test_gateway_fresh.py tests/sandbox/test_gateway_numbers.py
TESTS += $(GATEWAY_TESTS) $(GATEWAY_PROGRAM_TESTS)
EXTRA_DIST += $(GATEWAY_PROGRAM_TESTS) tests/sandbox/gateway_host.py \
	tests/sandbox/test_gateway_threads.py

tests_unit_test_coalesce_SOURCES = tests/unit/test_coalesce.c
tests_unit_test_coalesce_LDADD = $(GATEWAY_TEST_LIBS)
tests_unit_test_confine_SOURCES = tests/unit/test_confine.c
tests_unit_test_confine_LDADD = $(GATEWAY_TEST_LIBS) $(SECCOMP_LIBS)
tests_unit_test_database_SOURCES = tests/unit/test_database.c
tests_unit_test_database_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
tests_unit_test_database_LDADD = $(gateway_libs)
tests_unit_test_death_SOURCES = tests/unit/test_death.c
tests_unit_test_death_LDADD = $(GATEWAY_TEST_LIBS)
tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c
tests_unit_test_ledger_LDADD = $(GATEWAY_TEST_LIBS)
tests_unit_test_life_SOURCES = tests/unit/test_life.c
tests_unit_test_life_LDADD = $(GATEWAY_TEST_LIBS)
tests_unit_test_quota_SOURCES = tests/unit/test_quota.c
tests_unit_test_quota_CFLAGS = $(gateway_cflags)
tests_unit_test_quota_LDADD = $(gateway_libs)
tests_unit_test_usage_SOURCES = tests/unit/test_usage.c
tests_unit_test_usage_CFLAGS = $(gateway_cflags)
tests_unit_test_usage_LDADD = $(gateway_libs)
tests_unit_test_limits_SOURCES = tests/unit/test_limits.c
tests_unit_test_limits_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_limits_LDADD = $(GATEWAY_TEST_LIBS)
tests_unit_test_message_SOURCES = tests/unit/test_message.c
tests_unit_test_message_LDADD = $(GATEWAY_TEST_LIBS)
tests_unit_test_request_SOURCES = tests/unit/test_request.c
tests_unit_test_request_LDADD = $(GATEWAY_TEST_LIBS)
tests_unit_test_tail_SOURCES = tests/unit/test_tail.c
tests_unit_test_tail_LDADD = $(GATEWAY_TEST_LIBS)
tests_unit_test_written_SOURCES = tests/unit/test_written.c tests/unit/zmtp.h
tests_unit_test_written_LDADD = $(GATEWAY_TEST_LIBS)
tests_unit_test_zmtp_SOURCES = tests/unit/test_zmtp.c tests/unit/zmtp.h
tests_unit_test_zmtp_LDADD = $(GATEWAY_TEST_LIBS)

# The whole, through public clients. Run by ./dev test system.
EXTRA_DIST += tests/data/notebooks tests/system/api.py tests/system/notebooks.py \
	tests/system/talk.py tests/system/test_bench.py tests/system/test_abuse.py \
	tests/system/test_abuse_http.py tests/system/test_admission.py \
	tests/system/attacks.py tests/system/neighbours_load.py \
	tests/system/test_neighbours.py tests/system/test_disk.py \
	tests/system/envelopes.py tests/system/test_snapshot_archive.py \
	tests/system/test_snapshot_tool.py \
	tests/system/snapshots.py tests/system/tree.py tests/system/test_fork.py \
	tests/system/test_snapshot.py tests/system/test_snapshot_kill.py \
	tests/system/test_snapshot_names.py \
	tests/system/test_limits_live.py tests/system/test_quota.py \
	tests/system/test_usage.py tests/system/session.py tests/system/test_sleep.py \
	tests/system/test_sleep_full.py \
	tests/system/chaos.py tests/system/faults.py tests/system/test_chaos.py tests/system/test_faults.py \
	tests/system/test_fork_memory.py tests/system/test_checkpoint.py tests/system/test_rollback.py tests/system/test_comm.py \
	tests/system/test_widgets.py tests/system/test_stdin.py \
	tests/system/outlive.py tests/system/test_adopt.py tests/system/test_restart.py \
	tests/system/test_cli.py tests/system/test_cli_errors.py \
	tests/system/test_zygote.py tests/system/test_spares.py tests/system/test_clients.py \
	tests/system/test_death.py tests/system/test_host.py \
	tests/archives.py tests/system/test_image_build.py \
	tests/system/test_image_import.py \
	tests/system/test_kernel_test.py tests/system/test_managers.py \
	tests/system/test_notebooks.py tests/system/test_output.py \
	tests/system/test_registry.py tests/system/survive.py tests/system/survive_load.py \
	tests/system/test_survive.py

# What ./dev bench runs; built by make check so that it cannot rot.
BENCH_TOOLS = tests/bench/client tests/bench/life tests/bench/null-kernel
check_PROGRAMS += $(BENCH_TOOLS)
EXTRA_DIST += tests/bench/bench.py tests/bench/blocking.py tests/bench/kernels.py \
	tests/bench/sleeps.py tests/bench/report.py tests/bench/scale.py tests/bench/churn.py \
	tests/bench/stored.py tests/bench/restore.py
.PHONY: bench-tools
bench-tools: $(BENCH_TOOLS)
BENCH_LIBS = $(JUPYTER_TEST_LIBS) $(ZMQ_LIBS)
BENCH_TALK = tests/bench/talk.c tests/bench/talk.h

tests_bench_client_SOURCES = tests/bench/client.c $(BENCH_TALK)
tests_bench_client_CFLAGS = $(AM_CFLAGS) $(ZMQ_CFLAGS)
tests_bench_client_LDADD = $(BENCH_LIBS)
tests_bench_life_SOURCES = tests/bench/life.c $(BENCH_TALK)
tests_bench_life_CFLAGS = $(AM_CFLAGS) $(ZMQ_CFLAGS)
tests_bench_life_LDADD = $(BENCH_LIBS)
tests_bench_null_kernel_SOURCES = tests/bench/null-kernel.c
tests_bench_null_kernel_CFLAGS = $(AM_CFLAGS) $(ZMQ_CFLAGS)
tests_bench_null_kernel_LDADD = $(BENCH_LIBS)
