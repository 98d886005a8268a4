"""gRPC on top of protocols.http2: a Call as a request, an answer's status and messages, and a fallback on grpcio."""
