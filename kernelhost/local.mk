# kernelhost/: gateway, HTTP, command line.

# kernelhost, the command line (built below, for kernelhost/ is a folder). libcli.a
# is all of it but main, for the tests.
bin_PROGRAMS += kernelhost/cli/kernelhost
noinst_LIBRARIES += libcli.a
libcli_a_SOURCES = \
	kernelhost/cli/base64.c kernelhost/cli/base64.h kernelhost/cli/cli.h \
	kernelhost/cli/checkpoint.c kernelhost/cli/checkpoint.h kernelhost/cli/connect.c kernelhost/cli/create.c kernelhost/cli/doctor.c \
	kernelhost/cli/doctor.h kernelhost/cli/doctor_capacity.c \
	kernelhost/cli/doctor_cgroup.c kernelhost/cli/doctor_criu.c \
	kernelhost/cli/doctor_kernel.c kernelhost/cli/doctor_state.c \
	kernelhost/cli/exec.c kernelhost/cli/fork.c kernelhost/cli/help.c \
	kernelhost/cli/http.c \
	kernelhost/cli/http.h kernelhost/cli/image.c kernelhost/cli/jupyterdir.c \
	kernelhost/cli/jupyterdir.h kernelhost/cli/kernel.c kernelhost/cli/kernelspec.c \
	kernelhost/cli/lifecycle.c kernelhost/cli/limit.c kernelhost/cli/limits.c kernelhost/cli/limits.h \
	kernelhost/cli/links.c kernelhost/cli/links.h \
	kernelhost/cli/logo.h kernelhost/cli/ls.c kernelhost/cli/notebook.c \
	kernelhost/cli/notebook.h kernelhost/cli/option.c kernelhost/cli/option.h \
	kernelhost/cli/outputs.c kernelhost/cli/outputs.h kernelhost/cli/print.c \
	kernelhost/cli/print.h kernelhost/cli/probe.c kernelhost/cli/render.c \
	kernelhost/cli/render.h kernelhost/cli/rollback.c kernelhost/cli/run.c \
	kernelhost/cli/run.h \
	kernelhost/cli/renew.c \
	kernelhost/cli/run_notebook.c kernelhost/cli/serve.c kernelhost/cli/session.c \
	kernelhost/cli/session.h kernelhost/cli/show.c kernelhost/cli/idle.c kernelhost/cli/size.c \
	kernelhost/cli/size.h kernelhost/cli/snapshot.c kernelhost/cli/snapshot_archive.c kernelhost/cli/table.c \
	kernelhost/cli/table.h \
	kernelhost/cli/text.c kernelhost/cli/text.h kernelhost/cli/tool.c \
	kernelhost/cli/tool.h kernelhost/cli/usage.c
nodist_libcli_a_SOURCES = kernelhost/cli/logo.c
libcli_a_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS) $(JANSSON_CFLAGS)
kernelhost_cli_kernelhost_SOURCES = kernelhost/cli/main.c
kernelhost_cli_kernelhost_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS) $(JANSSON_CFLAGS)
kernelhost_cli_kernelhost_LDADD = libcli.a libjupyter.a liblink.a libbase.a \
	$(CURL_LIBS) $(JANSSON_LIBS)
dist_man_MANS += doc/kernelhost.1
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = doc/kernelhost.bash
EXTRA_DIST += examples/tour.ipynb

cli_logos = kernelhost/cli/logo/logo-32x32.png kernelhost/cli/logo/logo-64x64.png \
	kernelhost/cli/logo/logo-svg.svg
EXTRA_DIST += $(cli_logos)
CLEANFILES += kernelhost/cli/logo.c
kernelhost/cli/logo.c: $(cli_logos) kernelhost/local.mk
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	{ echo '#include "kernelhost/cli/logo.h"'; \
	for row in 32_png:logo-32x32.png 64_png:logo-64x64.png svg:logo-svg.svg; do \
	  name=kh_logo_$${row%%:*}; file=$(srcdir)/kernelhost/cli/logo/$${row#*:}; \
	  echo "const unsigned char $$name[] = {"; \
	  od -An -v -tx1 "$$file" | sed 's/ \(..\)/0x\1,/g'; \
	  echo "};"; echo "const size_t $${name}_size = sizeof($$name);"; \
	done; } >$@.tmp && mv $@.tmp $@

# The gateway: everything but main.c is a library, so that tests reach it.
noinst_LIBRARIES += libgateway.a
gateway_cflags = $(AM_CFLAGS) $(ZMQ_CFLAGS) $(UV_CFLAGS) $(JANSSON_CFLAGS) \
	$(CRYPTO_CFLAGS) $(MHD_CFLAGS) $(SECCOMP_CFLAGS) $(SQLITE_CFLAGS)
gateway_libs = libgateway.a libjupyter.a liblink.a libbase.a $(ZMQ_LIBS) \
	$(UV_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) $(MHD_LIBS) $(SECCOMP_LIBS) \
	$(SQLITE_LIBS) -lm -lpthread
libgateway_a_CFLAGS = $(gateway_cflags)
libgateway_a_SOURCES = \
	kernelhost/gateway/base64.c kernelhost/gateway/base64.h \
	kernelhost/gateway/broker.c kernelhost/gateway/broker.h \
	kernelhost/gateway/monitor.c kernelhost/gateway/monitor.h \
	kernelhost/gateway/rolled.c kernelhost/gateway/room.c kernelhost/gateway/room.h \
	kernelhost/gateway/channels.c kernelhost/gateway/channels.h \
	kernelhost/gateway/coalesce.c kernelhost/gateway/coalesce.h \
	kernelhost/gateway/confine.c kernelhost/gateway/confine.h \
	kernelhost/gateway/config.c kernelhost/gateway/config.h \
	kernelhost/gateway/connect.c \
	kernelhost/gateway/database.c kernelhost/gateway/database.h \
	kernelhost/gateway/database_own.h kernelhost/gateway/database_sql.c \
	kernelhost/gateway/database_usage.c \
	kernelhost/gateway/death.c kernelhost/gateway/death.h \
	kernelhost/gateway/entries.c \
	kernelhost/gateway/exec.c kernelhost/gateway/exec.h \
	kernelhost/gateway/fork.c kernelhost/gateway/fork.h \
	kernelhost/gateway/gateway.h \
	kernelhost/gateway/heart.c kernelhost/gateway/heart.h \
	kernelhost/gateway/inquest.c \
	kernelhost/gateway/kernel.c kernelhost/gateway/kernel.h \
	kernelhost/gateway/kernel_own.h \
	kernelhost/gateway/keeper.c kernelhost/gateway/keeper.h \
	kernelhost/gateway/launch.c kernelhost/gateway/launch.h \
	kernelhost/gateway/launch_name.c \
	kernelhost/gateway/life.c kernelhost/gateway/life.h \
	kernelhost/gateway/limits.c kernelhost/gateway/limits.h \
	kernelhost/gateway/link.c kernelhost/gateway/link.h \
	kernelhost/gateway/loop.c kernelhost/gateway/loop.h \
	kernelhost/gateway/metering.c kernelhost/gateway/metering.h \
	kernelhost/gateway/message.c kernelhost/gateway/message.h \
	kernelhost/gateway/inherit.c \
	kernelhost/gateway/ledger.c kernelhost/gateway/ledger.h \
	kernelhost/gateway/ledger_connections.c kernelhost/gateway/ledger_own.h \
	kernelhost/gateway/ledger_requests.c \
	kernelhost/gateway/plug.c kernelhost/gateway/plug.h \
	kernelhost/gateway/position.h \
	kernelhost/gateway/quota.c kernelhost/gateway/quota.h \
	kernelhost/gateway/rebind.c kernelhost/gateway/rebind.h \
	kernelhost/gateway/recover.c kernelhost/gateway/recover.h \
	kernelhost/gateway/settle.c \
	kernelhost/gateway/written.c kernelhost/gateway/written.h \
	kernelhost/gateway/zmtp.c kernelhost/gateway/zmtp.h \
	kernelhost/gateway/publish.c \
	kernelhost/gateway/registry.c kernelhost/gateway/registry.h \
	kernelhost/gateway/registry_from.c kernelhost/gateway/registry_own.h \
	kernelhost/gateway/registry_recover.c \
	kernelhost/gateway/request.c kernelhost/gateway/request.h \
	kernelhost/gateway/router.c \
	kernelhost/gateway/sandbox.c kernelhost/gateway/sandbox.h \
	kernelhost/gateway/sandbox_frames.c kernelhost/gateway/snapshot.c kernelhost/gateway/snapshot.h \
	kernelhost/gateway/sandbox_list.c \
	kernelhost/gateway/sandbox_record.c kernelhost/gateway/sandbox_idle.c kernelhost/gateway/sandbox_sleep.c \
	kernelhost/gateway/sandbox_own.h kernelhost/gateway/sandbox_rollback.c \
	kernelhost/gateway/peers.c kernelhost/gateway/peers.h \
	kernelhost/gateway/peers_noted.c kernelhost/gateway/peers_own.h \
	kernelhost/gateway/submit.c \
	kernelhost/gateway/tail.c kernelhost/gateway/tail.h \
	kernelhost/gateway/tails.c kernelhost/gateway/tails.h \
	kernelhost/gateway/tally.c kernelhost/gateway/tally.h \
	kernelhost/http/answer.c \
	kernelhost/http/routes.c kernelhost/http/routes.h \
	kernelhost/http/server.c kernelhost/http/server.h \
	kernelhost/http/server_own.h \
	kernelhost/http/metrics.c kernelhost/http/usage.h kernelhost/http/v1_usage.c \
	kernelhost/http/v1.c kernelhost/http/v1.h \
	kernelhost/http/v1_checkpoints.c \
	kernelhost/http/v1_exec.c kernelhost/http/v1_fork.c \
	kernelhost/http/v1_kernels.c \
	kernelhost/http/v1_launch.c kernelhost/http/v1_limits.c \
	kernelhost/http/v1_rollback.c kernelhost/http/v1_run.c \
	kernelhost/http/v1_sandboxes.c kernelhost/http/v1_sleep.c \
	kernelhost/http/v1_snapshots.c

pkglibexec_PROGRAMS += kernelhost-gateway
kernelhost_gateway_SOURCES = kernelhost/gateway/main.c
kernelhost_gateway_CFLAGS = $(gateway_cflags)
kernelhost_gateway_LDADD = $(gateway_libs)
