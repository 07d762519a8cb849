"""Takes traces over OTLP/gRPC and forgets them; prints its port, and at the end of its input how many exports came."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'


class Sink(grpc.GenericRpcHandler):
    def __init__(self) -> None:
        self.taken = 0

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(self.export) if details.method == EXPORT else None

    def export(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.taken += 1
        return b''  # an ExportTraceServiceResponse without fields


def main() -> None:
    sink = Sink()
    server = grpc.server(ThreadPoolExecutor(2), [sink])
    port = server.add_insecure_port('127.0.0.1:0')
    server.start()
    print(json.dumps({'port': port}), flush=True)
    sys.stdin.read()
    server.stop(None)


if __name__ == '__main__':
    main()
