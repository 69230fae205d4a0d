"""The web application: a page, and a REST interface that `openapi` describes.

One thread predicts, and another one encodes images; requests wait for them in bounded numbers.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cxrjax.data.image_input import ImageRefusedError
from cxrjax.inference.model import Model
from cxrjax.inference.model_input import IF_INVERTED
from cxrjax.inference.prediction import Prediction
from cxrjax.io import limits, radiograph
from cxrjax.io.errors import ImageReadError
from cxrjax.runtime.terminal import warn
from cxrjax.serve import openapi, page, results
from cxrjax.serve.card import ModelCard
from cxrjax.serve.guard import Guard
from cxrjax.serve.slots import Slots

MAX_UPLOADS = 16  # that wait or are predicted at once
MAX_DRAWINGS = 16  # images that wait, are encoded or sent at once
MAX_UPLOAD_BYTES = 128 * 2**20  # of one upload, and of all that wait; an uncompressed radiograph has less
MAX_RESULT_BYTES = 256 * 2**20  # of the predictions in memory
RETRY_AFTER = 2  # seconds
MAX_UPLOAD_SECONDS = 120  # to receive one upload, and to send one image
_CHUNK_BYTES = 2**16
_DISCARD_SECONDS = 10  # that the body of a refused upload is read for, so that clients see the answer
_IMAGE_TYPES = ("application/octet-stream", "application/dicom")
_FORMATS = {"": "upload", "jsrt": "upload.img"}  # the name that the decoder is given
_BUSY = f"The server is busy with other radiographs; send it again in {RETRY_AFTER} seconds."


class RequestError(HTTPException):
    """A request that is refused; `detail` is the sentence of the answer."""


class Service:
    """Endpoints of one model; its methods run in the event loop, apart from those that threads run."""

    def __init__(self, model: Model, card: ModelCard):
        """Initialize; the model computes the saliency maps of all classes if it has any."""
        self._model = model.with_outputs(class_maps=True) if model.classes else model
        self._card = card
        self.max_bytes = min(MAX_UPLOAD_BYTES, limits.current().max_bytes)
        self._uploads = Slots(MAX_UPLOADS, self.max_bytes)
        self._drawings = Slots(MAX_DRAWINGS, 0)
        self._results = results.ResultStore(MAX_RESULT_BYTES)
        self._predicting = ThreadPoolExecutor(1, "predict")
        self._drawing = ThreadPoolExecutor(1, "draw")

    def compile(self) -> None:
        """Compile the networks, by a blank image."""
        size = self._model.spec.input.size
        self._model.predict(np.zeros((size, size), np.uint8), preprocessed=True)

    def close(self) -> None:
        """End the threads, without waiting for requests that have not begun."""
        for executor in (self._predicting, self._drawing):
            executor.shutdown(wait=False, cancel_futures=True)

    async def show_page(self, request: Request) -> Response:
        """Return the page."""
        return HTMLResponse(page.render(self._card, self.max_bytes))

    async def describe_model(self, request: Request) -> Response:
        """Return the card of the model."""
        return JSONResponse(self._card.to_dict() | {"max_bytes": self.max_bytes})

    async def describe_interface(self, request: Request) -> Response:
        """Return the OpenAPI document."""
        return JSONResponse(openapi.document(self._card))

    async def create_prediction(self, request: Request) -> Response:
        """Predict the radiograph in the body of a request."""
        try:
            num_bytes = self._check_upload(request)
        except RequestError:
            await _discard_body(request)
            raise
        try:
            data = await _receive_body(request)
            prediction, values = await _run(self._predicting, self._predict, data, *_read_parameters(request))
        finally:
            self._uploads.release(num_bytes)
        result_id = self._results.add(prediction, values)
        return JSONResponse(self._to_json(result_id), 201, {"Location": f"/api/predictions/{result_id}"})

    async def read_prediction(self, request: Request) -> Response:
        """Return a prediction that is still in memory."""
        return JSONResponse(self._to_json(request.path_params["id"]))

    async def delete_prediction(self, request: Request) -> Response:
        """Forget a prediction."""
        self._find(request.path_params["id"])
        self._results.remove(request.path_params["id"])
        return Response(status_code=204)

    async def read_image(self, request: Request) -> Response:
        """Return an image of a prediction."""
        prediction = self._find(request.path_params["id"]).prediction
        name = request.path_params["name"]
        label = request.query_params.get("label")
        if name not in results.IMAGES:
            raise RequestError(404, f"There is no such image; there are {', '.join(results.IMAGES)}.")
        if label is not None and label not in (*prediction.class_maps, prediction.saliency_label):
            raise RequestError(404, "The prediction has no saliency map of this class.")
        if not self._drawings.claim():
            raise RequestError(503, _BUSY, {"Retry-After": str(RETRY_AFTER)})
        try:
            content = await _run(self._drawing, results.encode_image, prediction, name, label)
        except BaseException:
            self._drawings.release()
            raise
        if content is None:
            self._drawings.release()
            raise RequestError(404, "The prediction has no such image.")
        return _ReleasingResponse(content, self._drawings.release)

    def _check_upload(self, request: Request) -> int:
        """Claim a slot for an upload, and return its number of bytes.

        Raises:
            RequestError: it is not accepted.
        """
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in _IMAGE_TYPES and not content_type.startswith("image/"):
            raise RequestError(
                415, f"Send the file itself as the body, with the Content-Type image/… or {' or '.join(_IMAGE_TYPES)}."
            )
        _read_parameters(request)
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            raise RequestError(411, "The request does not state the length of the file (Content-Length).")
        if int(length) > self.max_bytes:
            raise RequestError(413, f"The file is larger than {self.max_bytes / 2**20:g} MiB, the limit of the server.")
        if not self._uploads.claim(int(length)):
            raise RequestError(503, _BUSY, {"Retry-After": str(RETRY_AFTER)})
        return int(length)

    def _predict(self, data: bytes, name: str, if_inverted: str) -> tuple[Prediction, dict[str, Any]]:
        """Return the prediction for the bytes of a file, and its values for JSON; runs in a thread.

        Raises:
            RequestError: there is no prediction for the file.
        """
        try:
            prediction = self._model.predict(radiograph.decode(data, name), if_inverted=if_inverted)
        except ImageReadError as error:
            raise RequestError(422, f"The file cannot be read: {error.reason}.") from error
        except ImageRefusedError as error:
            raise RequestError(422, f"The radiograph is refused: {error.reason}.") from error
        except MemoryError as error:
            raise RequestError(413, "The file needs more memory than there is.") from error
        assert isinstance(prediction, Prediction)
        return prediction, results.to_json(prediction)

    def _find(self, result_id: str) -> results.Result:
        result = self._results.find(result_id)
        if result is None:
            raise RequestError(404, "This prediction is not in memory any more; send the radiograph again.")
        return result

    def _to_json(self, result_id: str) -> dict[str, Any]:
        prediction, values = self._find(result_id)
        files = {name: f"/api/predictions/{result_id}/{name}" for name in results.list_images(prediction)}
        return {"id": result_id, **values, "files": files, "disclaimer": self._card.disclaimer}


def create_app(service: Service, host: str = "127.0.0.1") -> ASGIApp:
    """Return the application.

    Args:
        service: the endpoints.
        host: address that the server listens on; see `Guard`.
    """
    one = "/api/predictions/{id}"
    routes = [
        Route("/", service.show_page),
        *(Route(f"/{name}", _asset_endpoint(name)) for name in page.ASSETS),
        Route("/api/openapi.json", service.describe_interface),
        Route("/api/model", service.describe_model),
        Route("/api/predictions", service.create_prediction, methods=["POST"]),
        Route(one, service.read_prediction, methods=["GET"]),
        Route(one, service.delete_prediction, methods=["DELETE"]),
        Route(one + "/{name}", service.read_image),
    ]
    handlers: dict[Any, Any] = {HTTPException: _answer_error, ClientDisconnect: _answer_nobody}
    return Guard(Starlette(routes=routes, exception_handlers=handlers | {Exception: _answer_defect}), host=host)


class _ReleasingResponse(Response):
    """A PNG that releases its slot once it is sent."""

    media_type = "image/png"

    def __init__(self, content: bytes, release: Callable[[], None]):
        super().__init__(content)
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = memoryview(self.body)
        try:
            async with asyncio.timeout(MAX_UPLOAD_SECONDS):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                for start in range(0, len(body), _CHUNK_BYTES):  # each waits until the client has read the one before
                    chunk = bytes(body[start : start + _CHUNK_BYTES])
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body"})
        finally:
            self._release()


def _asset_endpoint(name: str) -> Callable[[Request], Response]:
    content, media_type = page.ASSETS[name]
    return lambda request: Response(content(), media_type=media_type)


def _read_parameters(request: Request) -> tuple[str, str]:
    """Return the name that the decoder is given, and what to do with an inverted radiograph.

    Raises:
        RequestError: a parameter has another value than the description of the interface lists.
    """
    file_format = request.query_params.get("format", "")
    if file_format not in _FORMATS:
        raise RequestError(400, "The parameter format may only be jsrt; other formats are recognized.")
    if_inverted = request.query_params.get("if_inverted", "refuse")
    if if_inverted not in IF_INVERTED:
        raise RequestError(400, f"The parameter if_inverted may be {', '.join(IF_INVERTED)}.")
    return _FORMATS[file_format], if_inverted


async def _run(executor: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)


async def _receive_body(request: Request) -> bytes:
    """Return the body of a request, whose length is known to be within the limit.

    Raises:
        RequestError: it takes too long.
    """
    try:
        async with asyncio.timeout(MAX_UPLOAD_SECONDS):
            return await request.body()
    except TimeoutError as error:
        raise RequestError(408, f"The file was not received within {MAX_UPLOAD_SECONDS} seconds.") from error


async def _discard_body(request: Request) -> None:
    """Read the body of a request and keep nothing of it."""
    try:
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for _ in request.stream():
                pass
    except TimeoutError:
        return


async def _answer_error(request: Request, error: HTTPException) -> Response:
    sentence = error.detail if isinstance(error, RequestError) else f"There is no such page: {error.detail}."
    return JSONResponse({"error": sentence}, error.status_code, error.headers)


async def _answer_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # the client is gone


async def _answer_defect(request: Request, error: Exception) -> Response:
    """Answer an unexpected error by its type alone, since its text may quote the file."""
    warn(f"an unexpected error ({type(error).__name__}) in an answer to {request.method}")
    return JSONResponse({"error": f"An unexpected error ({type(error).__name__}) occurred in the server."}, 500)
