"""{{name}}: answers HTTP requests. What it says is in greeting.py, which knows nothing of HTTP."""

from urllib.parse import parse_qs, urlsplit

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam

from greeting import greet


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        query = parse_qs(urlsplit(request.path_with_query() or "/").query)
        text = greet(query.get("name", [""])[0]).encode()

        headers = Fields.from_list([("content-type", b"text/plain; charset=utf-8")])
        response = OutgoingResponse(headers)
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            for start in range(0, len(text), 4096):  # what the stream takes at once
                stream.blocking_write_and_flush(text[start : start + 4096])
        OutgoingBody.finish(body, None)
