# kernelhost/: gateway, HTTP, command line.
