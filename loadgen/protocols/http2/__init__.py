"""HTTP/2 as a client for measurements: frames, a connection without I/O, and channels on non-blocking sockets."""
