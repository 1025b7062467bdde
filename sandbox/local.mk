# sandbox/: kernelhostd, kernelhost-init, the runners, images.
