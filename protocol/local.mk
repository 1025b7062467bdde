noinst_LIBRARIES += liblink.a
liblink_a_SOURCES = \
	protocol/link/broker.c protocol/link/broker.h \
	protocol/link/frame.c protocol/link/frame.h \
	protocol/link/init.h protocol/link/runner.h
