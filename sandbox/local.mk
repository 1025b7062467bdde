# sandbox/: kernelhostd, kernelhost-init, the runners, images.

# The image store's tools are run from the source tree.
EXTRA_DIST += sandbox/image/build sandbox/image/default.packages \
	sandbox/image/finish sandbox/image/store.sh
