"""A batcher written by hand in FastAPI: requests wait in an asyncio queue for the call of the model."""

import argparse
import asyncio
import json
import time
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

SIZE = 32
WINDOW_S = 0.01


class Doc(BaseModel):
    id: str
    text: str


class Body(BaseModel):
    data: list[Doc]
    parameters: dict | None = None


class Answer(BaseModel):
    data: list[Doc]
    parameters: dict


def model(docs: list[Doc]) -> list[Doc]:
    time.sleep(0.005 + 0.00005 * len(docs))
    return docs


async def batches(queue: asyncio.Queue) -> None:
    loop = asyncio.get_running_loop()
    while True:
        waiting = [await queue.get()]
        deadline = loop.time() + WINDOW_S
        while len(waiting) < SIZE:
            try:
                waiting.append(await asyncio.wait_for(queue.get(), deadline - loop.time()))
            except TimeoutError:
                break
        docs = await asyncio.to_thread(model, [doc for doc, _ in waiting])
        for (_, future), doc in zip(waiting, docs, strict=True):
            if not future.done():
                future.set_result(doc)


def application(port: int) -> FastAPI:
    began = time.perf_counter()
    queue = asyncio.Queue()

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        runner = asyncio.create_task(batches(queue))
        print(json.dumps({'port': port, 'start_s': time.perf_counter() - began}), flush=True)
        yield
        runner.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post('/echo')
    async def echo(body: Body) -> Answer:
        futures = []
        for doc in body.data:
            future = asyncio.get_running_loop().create_future()
            queue.put_nowait((doc, future))
            futures.append(future)
        return Answer(data=await asyncio.gather(*futures), parameters={})

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    options = parser.parse_args()
    app = application(options.port)
    uvicorn.run(
        app, host='127.0.0.1', port=options.port, loop='uvloop', http='httptools', log_level='error', access_log=False
    )


if __name__ == '__main__':
    main()
