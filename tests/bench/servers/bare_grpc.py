"""The bare gRPC stack, written by hand: an echo, numpy servers or a stream of items, alone or behind a byte gateway.

``vectors`` takes a message of its own with the id, the text and the embedding of each document, and changes them in place;
``buffer`` takes nothing but the floats of all embeddings, as one array: what a server costs that knows no documents.

With ``--length N`` it starts N such servers as processes of their own and a gateway that passes the bytes from one to
the next, as a Flow of N does.
"""

import argparse
import asyncio
import json
import sys
import time

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

UNARY = ('jina.JinaSingleDataRequestRPC', 'process_single_data')
STREAM = ('jina.JinaSingleDocumentRequestRPC', 'stream_doc')
LIMITS = (('grpc.max_send_message_length', -1), ('grpc.max_receive_message_length', -1))
STREAM_ITEMS = 100


def message_of_vectors() -> type:
    """The class that protoc generates from ``message Doc { string id = 1; string text = 2; bytes embedding = 3; }``, repeated."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name='vectors.proto', package='vectors', syntax='proto3')
    doc = file.message_type.add(name='Doc')
    for number, (name, kind) in enumerate((('id', 9), ('text', 9), ('embedding', 12)), 1):
        doc.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    file.message_type.add(name='Docs').field.add(
        name='docs', number=1, type=kinds.TYPE_MESSAGE, type_name='.vectors.Doc', label=kinds.LABEL_REPEATED
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('vectors.Docs'))


Docs = message_of_vectors()


async def echo(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return request


async def vectors(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    message = Docs.FromString(request)
    for doc in message.docs:
        doc.embedding = (np.frombuffer(doc.embedding, dtype=np.float32) * 2).tobytes()
    return message.SerializeToString()


async def buffer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return (np.frombuffer(request, dtype=np.float32) * 2).tobytes()


async def stream(request: bytes, context: grpc.aio.ServicerContext):
    for _ in range(STREAM_ITEMS):
        yield request


async def serve(work: str, port: int) -> tuple[grpc.aio.Server, int]:
    """Starts a server and returns it with the port it is bound to."""
    if work == 'stream':
        service, method = STREAM
        handler = grpc.unary_stream_rpc_method_handler(stream)
    else:
        service, method = UNARY
        handler = grpc.unary_unary_rpc_method_handler({'echo': echo, 'vectors': vectors, 'buffer': buffer}[work])
    return await listen(service, method, handler, port)


async def listen(service: str, method: str, handler: grpc.RpcMethodHandler, port: int) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(options=LIMITS)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
    bound = server.add_insecure_port(f'127.0.0.1:{port}')
    await server.start()
    return server, bound


async def gateway(work: str, length: int, port: int) -> tuple[grpc.aio.Server, int]:
    """Starts ``length`` servers and the gateway in front of them."""
    calls = []
    for process in [await _spawn(work) for _ in range(length)]:
        ready = json.loads(await process.stdout.readline())
        channel = grpc.aio.insecure_channel(f'127.0.0.1:{ready["port"]}', options=LIMITS)
        await channel.channel_ready()
        calls.append(channel.unary_unary(f'/{UNARY[0]}/{UNARY[1]}'))

    async def forward(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        for call in calls:
            request = await call(request)
        return request

    return await listen(*UNARY, grpc.unary_unary_rpc_method_handler(forward), port)


async def _spawn(work: str) -> asyncio.subprocess.Process:
    command = [sys.executable, __file__, work, '--port', '0']
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('work', choices=['echo', 'vectors', 'buffer', 'stream'])
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--length', type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    if options.length:
        server, port = await gateway(options.work, options.length, options.port)
    else:
        server, port = await serve(options.work, options.port)
    print(json.dumps({'port': port, 'start_s': time.perf_counter() - began}), flush=True)
    await server.wait_for_termination()


if __name__ == '__main__':
    asyncio.run(main())
