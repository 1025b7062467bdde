noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
	base/buf.c base/buf.h base/cgroup.c base/cgroup.h base/clean.h \
	base/error.c base/error.h base/fault.c base/fault.h base/fd.c base/fd.h base/log.c base/log.h base/mem.c base/mem.h \
	base/room.c base/room.h
