noinst_LIBRARIES += liblink.a
liblink_a_SOURCES = \
	protocol/link/broker.c protocol/link/broker.h \
	protocol/link/frame.c protocol/link/frame.h \
	protocol/link/init.h protocol/link/runner.h protocol/link/versions.h

# What clients speak. Pure like the other, but with jansson and libcrypto:
# only the parts that the network reaches link it.
noinst_LIBRARIES += libjupyter.a
libjupyter_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(CRYPTO_CFLAGS)
libjupyter_a_SOURCES = \
	protocol/jupyter/connfile.c protocol/jupyter/connfile.h \
	protocol/jupyter/header.c protocol/jupyter/header.h \
	protocol/jupyter/json.c protocol/jupyter/json.h \
	protocol/jupyter/json_string.c \
	protocol/jupyter/jsontree.c protocol/jupyter/jsontree.h \
	protocol/jupyter/replay.c protocol/jupyter/replay.h \
	protocol/jupyter/reply.c protocol/jupyter/reply.h \
	protocol/jupyter/schema.c protocol/jupyter/schema.h \
	protocol/jupyter/schema_table.c \
	protocol/jupyter/sign.c protocol/jupyter/sign.h \
	protocol/jupyter/utf8.c protocol/jupyter/utf8.h \
	protocol/jupyter/uuid.c protocol/jupyter/uuid.h \
	protocol/jupyter/wire.c protocol/jupyter/wire.h
