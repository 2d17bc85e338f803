"""``/openapi.json``: what the API takes and answers, for programs; ``/docs`` shows it to people."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aiohttp import web

from gateway.http import openapi_alpaca, openapi_data, openapi_page, openapi_state, openapi_udf
from gateway.http.openapi import document
from gateway.http.serving import JSON, Answer, DataRoute, Life

OPERATIONS: Final = (
    *openapi_data.OPERATIONS,
    *openapi_udf.OPERATIONS,
    *openapi_alpaca.OPERATIONS,
    *openapi_state.OPERATIONS,
    *openapi_page.OPERATIONS,
)
_TAGS: Final = (
    *openapi_data.TAGS,
    *openapi_udf.TAGS,
    *openapi_alpaca.TAGS,
    *openapi_state.TAGS,
    *openapi_page.TAGS,
)


@dataclass(frozen=True, slots=True)
class DescriptionApi:
    """Answers from memory: the document is made once."""

    answer: Answer

    @classmethod
    def of(cls, version: str) -> "DescriptionApi":
        """The description of the API of this *version* of the program."""
        return cls(Answer(_body(version), JSON, (), Life.RUNNING))

    def routes(self) -> list[DataRoute]:
        return [DataRoute("/openapi.json", self.openapi)]

    async def openapi(self, request: web.Request) -> Answer:
        """The whole description; the query is ignored, as tools add to it to get by caches."""
        return self.answer


@lru_cache(maxsize=1)
def _body(version: str) -> bytes:
    """It takes 10 ms: made once, however many gateways a process has."""
    return document(OPERATIONS, _TAGS, version=version)
