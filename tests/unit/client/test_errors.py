"""The errors of the client: drawn in the tree, and whole after a trip through pickle."""

from __future__ import annotations

import pickle

import pytest

import receiver.client
from receiver import errors
from receiver.errors import HiloopError

KINDS = [HiloopError, *HiloopError.__subclasses__()]


@pytest.mark.parametrize("kind", KINDS)
def test_error_is_drawn_and_exported(kind: type[HiloopError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.__name__ in receiver.client.__all__


@pytest.mark.parametrize("kind", KINDS)
def test_error_survives_pickle(kind: type[HiloopError]) -> None:
    error = kind("Gone.", status=404, code="c", request_id="req_1", hint="look elsewhere", retry_after=1.5)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert type(again) is kind
    assert vars(again) == vars(error)
    assert str(again) == str(error)


def test_error_reads_well() -> None:
    error = HiloopError("Gone.", status=404, code="not_found", request_id="req_1", hint="look elsewhere")
    assert str(error) == "Gone. (status 404, not_found, request req_1); look elsewhere"
    assert str(HiloopError("Gone.")) == "Gone. (api_error)"
