# sandbox/: kernelhostd, kernelhost-init, the runners, images.

# Images. The scripts run from the source tree too.
imagedir = $(pkglibexecdir)/image
dist_image_SCRIPTS = sandbox/image/build sandbox/image/extend \
	sandbox/image/finish
dist_image_DATA = sandbox/image/default.packages sandbox/image/store.sh

# A CRIU that fits the kernel, if the system's does not.
dist_noinst_SCRIPTS = sandbox/criu/install

# kernelhost-image: the operator's, owns the store. kernelhost-import: confined, reads
# what is foreign; only it links libarchive and jansson.
noinst_LIBRARIES += libimage.a libimport.a
libimage_a_SOURCES = \
	sandbox/image/below.h \
	sandbox/image/command.c sandbox/image/command.h \
	sandbox/image/digest.c sandbox/image/digest.h \
	sandbox/image/drop.c sandbox/image/drop.h \
	sandbox/image/helper.c sandbox/image/helper.h \
	sandbox/image/import.c sandbox/image/import.h \
	sandbox/image/list.c sandbox/image/list.h \
	sandbox/image/path.c sandbox/image/path.h \
	sandbox/image/progress.c sandbox/image/progress.h \
	sandbox/image/recipe.c sandbox/image/recipe.h \
	sandbox/image/remove.c sandbox/image/remove.h \
	sandbox/image/seal.c sandbox/image/seal.h \
	sandbox/image/shelf.c sandbox/image/shelf.h \
	sandbox/image/view.c sandbox/image/view.h \
	sandbox/image/wire.h
libimage_a_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(SECCOMP_CFLAGS)
libimport_a_SOURCES = \
	sandbox/image/fit.c sandbox/image/fit.h \
	sandbox/image/jail.c sandbox/image/jail.h \
	sandbox/image/manifest.c sandbox/image/manifest.h \
	sandbox/image/source.c sandbox/image/source.h \
	sandbox/image/stream.c sandbox/image/stream.h \
	sandbox/image/unpack.c sandbox/image/unpack.h sandbox/image/unpack_directory.c
libimport_a_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS) $(JANSSON_CFLAGS) $(SECCOMP_CFLAGS)
pkglibexec_PROGRAMS += kernelhost-image kernelhost-import
kernelhost_image_SOURCES = sandbox/image/main.c
kernelhost_image_LDADD = libimage.a libhost.a liblink.a libbase.a $(CRYPTO_LIBS)
kernelhost_import_SOURCES = sandbox/image/import_main.c
kernelhost_import_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS)
kernelhost_import_LDADD = libimport.a libimage.a libbase.a $(ARCHIVE_LIBS) \
	$(JANSSON_LIBS) $(CRYPTO_LIBS) $(SECCOMP_LIBS)

noinst_LIBRARIES += libhost.a
libhost_a_SOURCES = \
	sandbox/host/birth.c sandbox/host/birth.h \
	sandbox/host/box.c sandbox/host/box.h sandbox/host/box_copy.c sandbox/host/box_freeze.c sandbox/host/box_own.h sandbox/host/box_run.c \
	sandbox/host/box_limit.c \
	sandbox/host/admission.c sandbox/host/admission.h \
	sandbox/host/boxes.c sandbox/host/boxes.h \
	sandbox/host/broker.c sandbox/host/broker.h sandbox/host/broker_own.h \
	sandbox/host/broker_serve.c sandbox/host/broker_sleep.c \
	sandbox/host/broker_rollback.c sandbox/host/broker_snapshot.c \
	sandbox/host/broker_usage.c \
	sandbox/host/cgroup.c sandbox/host/cgroup.h sandbox/host/cgroup_own.h \
	sandbox/host/cgroup_freeze.c sandbox/host/cgroup_limit.c \
	sandbox/host/cgroup_find.c sandbox/host/cgroup_find.h \
	sandbox/host/check.c sandbox/host/check.h \
	sandbox/host/child.c sandbox/host/child.h \
	sandbox/host/daemon.c sandbox/host/daemon.h \
	sandbox/host/disk.c sandbox/host/disk.h \
	sandbox/host/fields.c sandbox/host/fields.h \
	sandbox/host/filter.c sandbox/host/filter.h sandbox/host/filter_table.h \
	sandbox/host/gateway.c sandbox/host/gateway.h \
	sandbox/host/criu.c sandbox/host/criu.h \
	sandbox/host/helper.c sandbox/host/helper.h \
	sandbox/host/hibernate.c sandbox/host/hibernate.h sandbox/host/hook.h \
	sandbox/host/host.c sandbox/host/host.h \
	sandbox/host/idmap.c sandbox/host/idmap.h \
	sandbox/host/image.c sandbox/host/image.h \
	sandbox/host/join.c sandbox/host/join.h \
	sandbox/host/kit.c sandbox/host/kit.h \
	sandbox/host/loopdev.c sandbox/host/loopdev.h \
	sandbox/host/memory.c sandbox/host/memory.h sandbox/host/memory_own.h \
	sandbox/host/memory_share.c \
	sandbox/host/meter.c sandbox/host/meter.h \
	sandbox/host/metering.c sandbox/host/metering.h \
	sandbox/host/metering_file.c sandbox/host/metering_own.h \
	sandbox/host/mounts.c sandbox/host/mounts.h \
	sandbox/host/netns.c sandbox/host/netns.h \
	sandbox/host/plan.c sandbox/host/plan.h \
	sandbox/host/posture.c sandbox/host/posture.h \
	sandbox/host/privs.c sandbox/host/privs.h \
	sandbox/host/process.c sandbox/host/process.h \
	sandbox/host/procfs.c sandbox/host/procfs.h \
	sandbox/host/record.c \
	sandbox/host/renew.c sandbox/host/renew.h \
	sandbox/host/rollback.c sandbox/host/rollback.h \
	sandbox/host/rootfs.c sandbox/host/rootfs.h \
	sandbox/host/snapshot.c sandbox/host/snapshot.h \
	sandbox/host/snapshot_adopt.c sandbox/host/snapshot_load.c \
	sandbox/host/snapshot_memory.c sandbox/host/snapshot_own.h \
	sandbox/host/snapshot_record.c \
	sandbox/host/snapshots.c sandbox/host/snapshots.h \
	sandbox/host/spare.c sandbox/host/spare.h \
	sandbox/host/spawn.c sandbox/host/spawn.h \
	sandbox/host/store.c sandbox/host/store.h sandbox/host/store_own.h \
	sandbox/host/store_disk.c \
	sandbox/host/subvolume.c sandbox/host/subvolume.h \
	sandbox/host/sys.h \
	sandbox/host/trash.c sandbox/host/trash.h \
	sandbox/host/tree.c sandbox/host/tree.h \
	sandbox/host/tune.c sandbox/host/tune.h \
	sandbox/host/wake.c sandbox/host/wake.h sandbox/host/wake_own.h \
	sandbox/host/wake_put.c sandbox/host/wake_queue.c \
	sandbox/host/watch.c sandbox/host/watch.h \
	sandbox/host/weigh.c sandbox/host/weigh.h \
	sandbox/host/zygote.c sandbox/host/zygote.h sandbox/host/zygote_start.c
libhost_a_CPPFLAGS = $(AM_CPPFLAGS) $(SECCOMP_CFLAGS)

# What CRIU runs at the stages of a restore.
pkglibexec_PROGRAMS += kernelhost-hook
kernelhost_hook_SOURCES = sandbox/host/hook_main.c sandbox/host/hook.h
kernelhost_hook_LDFLAGS = $(KH_STATIC_LDFLAGS)

# kernelhost-snapshot: the operator's; archives of snapshots.
noinst_LIBRARIES += libarchives.a
libarchives_a_SOURCES = \
	sandbox/archive/envelope.c sandbox/archive/envelope.h \
	sandbox/archive/format.h \
	sandbox/archive/jail.c sandbox/archive/jail.h \
	sandbox/archive/key.c sandbox/archive/key.h \
	sandbox/archive/pack.c sandbox/archive/pack.h \
	sandbox/archive/pack_entry.c sandbox/archive/pack_own.h \
	sandbox/archive/parse.c sandbox/archive/parse.h \
	sandbox/archive/place.c sandbox/archive/place.h \
	sandbox/archive/unpack.c sandbox/archive/unpack.h
libarchives_a_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(SECCOMP_CFLAGS)
pkglibexec_PROGRAMS += kernelhost-snapshot
kernelhost_snapshot_SOURCES = sandbox/archive/main.c
kernelhost_snapshot_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
kernelhost_snapshot_LDADD = libarchives.a libimage.a libhost.a liblink.a libbase.a \
	$(CRYPTO_LIBS) $(SECCOMP_LIBS)

pkglibexec_PROGRAMS += kernelhostd
kernelhostd_SOURCES = sandbox/host/main.c
kernelhostd_LDADD = libhost.a liblink.a libbase.a $(SECCOMP_LIBS)

# The Python runner: data, run by the image's own python3 inside the sandbox.
runnerdir = $(kitdir)/.kernelhost/runner/python
runnerpackagedir = $(runnerdir)/kernelhost_runner
dist_runner_DATA = sandbox/runner/python/__main__.py
dist_runnerpackage_DATA = \
	sandbox/runner/python/kernelhost_runner/__init__.py \
	sandbox/runner/python/kernelhost_runner/app.py \
	sandbox/runner/python/kernelhost_runner/checkpoint.py \
	sandbox/runner/python/kernelhost_runner/comms.py \
	sandbox/runner/python/kernelhost_runner/descriptors.py \
	sandbox/runner/python/kernelhost_runner/display.py \
	sandbox/runner/python/kernelhost_runner/formatting.py \
	sandbox/runner/python/kernelhost_runner/execute.py \
	sandbox/runner/python/kernelhost_runner/frame.py \
	sandbox/runner/python/kernelhost_runner/inbox.py \
	sandbox/runner/python/kernelhost_runner/interrupt.py \
	sandbox/runner/python/kernelhost_runner/link.py \
	sandbox/runner/python/kernelhost_runner/magics.py \
	sandbox/runner/python/kernelhost_runner/origin.py \
	sandbox/runner/python/kernelhost_runner/orphan.py \
	sandbox/runner/python/kernelhost_runner/packing.py \
	sandbox/runner/python/kernelhost_runner/requests.py \
	sandbox/runner/python/kernelhost_runner/reseed.py \
	sandbox/runner/python/kernelhost_runner/runner.py \
	sandbox/runner/python/kernelhost_runner/serve.py \
	sandbox/runner/python/kernelhost_runner/shell.py \
	sandbox/runner/python/kernelhost_runner/stdin.py \
	sandbox/runner/python/kernelhost_runner/stream.py

# The zygote: the image's python3 again, and a shared object without a libc.
zygotedir = $(kitdir)/.kernelhost/runner/zygote
zygotepackagedir = $(zygotedir)/kernelhost_zygote
dist_zygote_DATA = sandbox/runner/zygote/__main__.py
dist_zygotepackage_DATA = \
	sandbox/runner/zygote/kernelhost_zygote/__init__.py \
	sandbox/runner/zygote/kernelhost_zygote/claim.py \
	sandbox/runner/zygote/kernelhost_zygote/detach.py \
	sandbox/runner/zygote/kernelhost_zygote/immortal.py \
	sandbox/runner/zygote/kernelhost_zygote/native.py \
	sandbox/runner/zygote/kernelhost_zygote/preload.py \
	sandbox/runner/zygote/kernelhost_zygote/zygote.py
join_sources = sandbox/runner/zygote/join.c sandbox/runner/zygote/memory.c
EXTRA_DIST += $(join_sources) sandbox/runner/zygote/call.h
zygote_DATA = sandbox/runner/zygote/join.so
CLEANFILES += sandbox/runner/zygote/join.so
sandbox/runner/zygote/join.so: $(join_sources) sandbox/runner/zygote/call.h
	$(AM_V_at)$(MKDIR_P) sandbox/runner/zygote
	$(AM_V_CC)$(CC) -O2 -Wall -Wextra -Wshadow -shared -fPIC -nostdlib -ffreestanding \
	    -fvisibility=hidden -fno-stack-protector -fno-optimize-sibling-calls \
	    -mno-red-zone -fcf-protection=none \
	    -Wl,-z,noexecstack,-z,defs,-z,now,-z,relro -I$(srcdir) -o $@ \
	    $(join_sources:%=$(srcdir)/%)

# kernelhost-init: PID 1 inside. Static; links base and protocol/link only.
EXTRA_DIST += doc/PROTOCOL.archive doc/PROTOCOL.init doc/PROTOCOL.runner
noinst_LIBRARIES += libinit.a
libinit_a_SOURCES = \
	sandbox/init/action.c sandbox/init/action.h \
	sandbox/init/checkpoint.c sandbox/init/checkpoint.h \
	sandbox/init/conn.c sandbox/init/conn.h \
	sandbox/init/ends.c sandbox/init/ends.h \
	sandbox/init/entry.c sandbox/init/entry.h \
	sandbox/init/exec.c sandbox/init/exec.h \
	sandbox/init/feed.c sandbox/init/feed.h \
	sandbox/init/journal.c sandbox/init/journal.h \
	sandbox/init/kernel.c sandbox/init/kernel.h \
	sandbox/init/kernels.c sandbox/init/kernels.h \
	sandbox/init/kind.c sandbox/init/kind.h \
	sandbox/init/loop.c sandbox/init/loop.h \
	sandbox/init/merge.c sandbox/init/merge.h \
	sandbox/init/output.c sandbox/init/output.h \
	sandbox/init/queue.c sandbox/init/queue.h sandbox/init/queue_table.c \
	sandbox/init/request.c sandbox/init/request.h \
	sandbox/init/rollback.c sandbox/init/rollback.h \
	sandbox/init/runner.c sandbox/init/runner.h \
	sandbox/init/server.c sandbox/init/server.h \
	sandbox/init/session.c sandbox/init/session.h \
	sandbox/init/spawn.c sandbox/init/spawn.h \
	sandbox/init/warm.c sandbox/init/warm.h
kitinitdir = $(kitdir)/.kernelhost
kitinit_PROGRAMS = sandbox/init/init
sandbox_init_init_SOURCES = sandbox/init/main.c
sandbox_init_init_LDADD = libinit.a liblink.a libbase.a
sandbox_init_init_LDFLAGS = $(KH_STATIC_LDFLAGS)
