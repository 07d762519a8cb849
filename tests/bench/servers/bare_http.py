"""The bare HTTP stack: FastAPI on uvicorn with uvloop and httptools, alone or in front of bare gRPC servers."""

import argparse
import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

STREAM_ITEMS = 100


class Doc(BaseModel):
    id: str
    text: str


class Body(BaseModel):
    data: list[Doc]
    parameters: dict | None = None


class Answer(BaseModel):
    data: list[Doc]
    parameters: dict


def application(length: int, port: int) -> FastAPI:
    calls = []
    began = time.perf_counter()

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        script = Path(__file__).with_name('bare_grpc.py')
        for _ in range(length):
            command = [sys.executable, str(script), 'echo', '--port', '0']
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            ready = json.loads(await process.stdout.readline())
            channel = grpc.aio.insecure_channel(f'127.0.0.1:{ready["port"]}')
            await channel.channel_ready()
            calls.append(channel.unary_unary('/jina.JinaSingleDataRequestRPC/process_single_data'))
        # uvicorn listens right after the lifespan's start; the harness waits for the port
        print(json.dumps({'port': port, 'start_s': time.perf_counter() - began}), flush=True)
        yield

    app = FastAPI(lifespan=lifespan)

    @app.post('/echo')
    async def echo(body: Body) -> Answer:
        if not calls:
            return Answer(data=body.data, parameters={})
        passed = body.model_dump_json().encode()
        for call in calls:
            passed = await call(passed)
        return Answer(data=Body.model_validate_json(passed).data, parameters={})

    @app.get('/stream')
    async def stream(text: str) -> StreamingResponse:
        async def events():
            for index in range(STREAM_ITEMS):
                doc = Doc(id=str(index), text=f'{text} {index}')
                yield f'event: update\r\ndata: {doc.model_dump_json()}\r\n\r\n'
            yield 'event: end\r\n\r\n'

        return StreamingResponse(events(), media_type='text/event-stream')

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--length', type=int, default=0)
    options = parser.parse_args()
    app = application(options.length, options.port)
    uvicorn.run(
        app, host='127.0.0.1', port=options.port, loop='uvloop', http='httptools', log_level='error', access_log=False
    )


if __name__ == '__main__':
    main()
