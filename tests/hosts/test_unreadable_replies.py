"""Hosts that answer nonsense: neither a traceback nor a number, and no one asks them again."""

from __future__ import annotations

import sys

import pytest

from pytest_mlscope.errors import PredictorError, UnreadableReply
from tests.hosts.toy_host import MakeEnvironment, Start, answering, load, measure, predict


def test_a_framework_that_prints_cannot_break_the_protocol(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(predict="os.write(1, b'\\x00\\x00\\x00\\x05hello'); print('and more')"))
    load(host)
    assert predict(host).tensors["y"].tolist() == [0, 2, 4, 6]


def test_what_is_no_json_is_an_error_and_the_host_lives(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(load="Model.resolved = {'threads': object()}"))
    with pytest.raises(PredictorError, match=r"loading the model: TypeError: .*not JSON serializable"):
        load(host)
    assert host.alive


def test_lone_surrogates_are_replaced_in_what_the_host_says(toy: MakeEnvironment, start: Start) -> None:
    host = start(toy(load=r"getattr(sys, 'caf\udce9')"))
    with pytest.raises(PredictorError, match=r"caf") as caught:
        load(host)
    str(caught.value).encode()
    caught.value.output.encode()


def sending(body: str) -> str:
    """Likewise, with these bytes as the header."""
    send = f"body = {body}\nos.write(replies, len(body).to_bytes(4, 'big'))\n"
    return answering(send + "while body: body = body[os.write(replies, body):]")


SHRINK = """\
for descriptor in range(3, 64):
    try:
        os.ftruncate(descriptor, 0)
    except OSError:
        pass
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seals are Linux's")
def test_a_host_cannot_shrink_what_is_shared(toy: MakeEnvironment, start: Start) -> None:
    """To read beyond a file's end is a SIGBUS, which would end pytest without a summary or a report."""
    host = start(toy(predict=SHRINK))
    load(host)
    for _ in range(3):
        reply = predict(host, 2**16)
        assert reply.tensors["y"][-1] == 2 * (2**16 - 1)


def test_an_arena_that_cannot_be_sealed_is_looked_at_first(
    toy: MakeEnvironment, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)
    host = start(toy(predict=answering(SHRINK + "sys.answer(replies, reply)")))
    load(host)
    with pytest.raises(UnreadableReply, match="lies outside its arena"):
        predict(host, 2**16)
    assert not host.alive


GOOD = '"errors": [], "seconds": 1.0'


PLACE = '"name": "y", "dtype": "<f4", "shape": [4], "offset": 0'


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("b'{\"a\": ' + b'[' * 100000 + b']' * 100000 + b'}'", "a header whose JSON is nested too deep"),
        ("b'{\"a\": ' + b'[' * 900 + b']' * 900 + b'}'", "a header whose JSON is nested too deep"),
        ("b'{\"a\": ' + b'[' * 100 + b']' * 100 + b'}'", "a header whose JSON is nested too deep"),
        ("b'{\"a\": ' + b'[' * 99 + b']' * 99 + b'}'", "it has no 'tensors'"),
        ("b'[1]'", "a header that is not a JSON object"),
        ("b'{\"a\": ' + b'9' * 5000 + b'}'", "a header that is not JSON"),
        ('b\'{"error": "boo"}\'', "its 'error' is not a JSON object with a kind and a message"),
        ("b'{\"error\": null}'", "its 'error' is not a JSON object"),
        ('b\'{"error": {"kind": 5, "message": "x"}}\'', "its 'error' is not a JSON object"),
        ('b\'{"error": {"kind": "odd", "message": "x"}}\'', "its error is of the kind 'odd'"),
        ('b\'{"error": {"kind": "exception", "message": "x", "traceback": 5}}\'', "traceback is not text"),
        ("b'{}'", "it has no 'tensors'"),
        (f"b'{{\"tensors\": 5, {GOOD}}}'", "its 'tensors' is not as the protocol says"),
        ('b\'{"tensors": [], "errors": [{"start": 1}], "seconds": 1}\'', "its 'errors' is not"),
        ('b\'{"tensors": [], "errors": [{"start": 3, "stop": 1, "message": ""}], "seconds": 1}\'', "its 'errors' is"),
        ('b\'{"tensors": [], "errors": [], "seconds": "long"}\'', "its 'seconds' is not"),
    ],
)
def test_a_reply_that_is_json_but_wrong_is_one_line(toy: MakeEnvironment, start: Start, reply: str, said: str) -> None:
    """Neither a traceback nor a number, and the host is not asked again."""
    host = start(toy(predict=sending(reply)))
    load(host)
    with pytest.raises(
        UnreadableReply, match=r"toy: predicting: unreadable reply: .*; the predictor host was killed"
    ) as caught:
        predict(host)
    assert said in str(caught.value)
    assert not host.alive


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("reply['tensors'][0]['shape'] = [3]", "its tensor 'y' has shape [3] for 4 rows"),
        ("reply['tensors'][0]['shape'] = []", "its tensor 'y' has shape [] for 4 rows"),
        ("reply['errors'] = [{'start': 2, 'stop': 5, 'message': ''}]", "its 'errors' name other rows than the 4"),
        ("reply['parts'] = [[0, 5]]", "its 'parts' are not ascending rows of the 4"),
        ("reply['parts'] = [[0, 3], [2, 4]]", "its 'parts' are not ascending rows of the 4"),
        ("reply['parts'] = [[0, 2]]; reply['tensors'][0]['name'] = '0:y'", "its tensor '0:y' has shape [4] for 2 rows"),
    ],
)
def test_rows_that_were_not_asked_for_are_one_line(toy: MakeEnvironment, start: Start, change: str, said: str) -> None:
    """Scored as they came, they would meet the labels of others."""
    host = start(toy(predict=answering(f"{change}\nsys.answer(replies, reply)")))
    load(host)
    with pytest.raises(UnreadableReply, match=r"toy: predicting: unreadable reply: ") as caught:
        predict(host)
    assert said in str(caught.value)
    assert not host.alive


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("5", "its 'tensors' is not"),
        ("{}", "a tensor without a name"),
        ('{"name": "y"}', "whose shape is not a list of sizes"),
        (f"{{{PLACE.replace('[4]', '[-1]')}}}", "whose shape is not a list of sizes"),
        (f"{{{PLACE.replace('[4]', '[true]')}}}", "whose shape is not a list of sizes"),
        (f"{{{PLACE.replace('[4]', '[0, 1125899906842624, 8192]')}}}", "whose sizes are too large"),
        (f"{{{PLACE.replace('[4]', '[1125899906842624]')}}}", "lies outside its arena"),
        (f"{{{PLACE.replace('[4]', str([1] * 100))}}}", "has 100 dimensions"),
        (f"{{{PLACE.replace('<f4', '|O')}}}", "whose dtype is not one of plain numbers"),
        (f"{{{PLACE.replace('<f4', 'nonsense')}}}", "whose dtype is not one of plain numbers"),
        (f"{{{PLACE.replace('<f4', '(2,3)f4')}}}", "whose dtype is not one of plain numbers"),
        (f"{{{PLACE.replace(': 0', ': -8')}}}", "without an offset"),
        (f"{{{PLACE}}}, {{{PLACE}}}", "two tensors called 'y'"),
    ],
)
def test_a_place_that_is_no_tensors_is_one_line(toy: MakeEnvironment, start: Start, place: str, said: str) -> None:
    text = f'{{"tensors": [{place}], {GOOD}}}'
    host = start(toy(predict=answering(f"server.write_frame(replies, json.loads({text!r}))")))
    load(host)
    with pytest.raises(UnreadableReply, match=r"toy: .*unreadable reply: ") as caught:
        predict(host)
    assert said in str(caught.value)
    assert not host.alive


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("reply['tensors'] = reply['tensors'][1:]", "it has no tensor 'samples_ns'"),
        ("reply['tensors'][0]['dtype'] = '<f8'", "its tensor 'samples_ns' is not a list of whole numbers"),
        ("reply['tensors'][0]['shape'] = []", "its tensor 'samples_ns' is not a list of whole numbers"),
        ("del reply['clock_step']", "it has no 'clock_step'"),
        ("reply['sensors'].pop()", "its 'sensors' is not as the protocol says"),
        ("reply['sensors'][0]['cpu_times'] = {'busy': 1.0}", "its 'sensors' is not as the protocol says"),
        ("reply['sensors'][1]['wall'] = 'noon'", "its 'sensors' is not as the protocol says"),
        ("reply['peak_memory'] = True", "its 'peak_memory' is not as the protocol says"),
        ("reply['warmup_seconds'] = 10**400", "its 'warmup_seconds' is not as the protocol says"),
    ],
)
def test_a_window_that_is_not_whole_is_one_line(toy: MakeEnvironment, start: Start, change: str, said: str) -> None:
    host = start(toy(predict=answering(f"if 'stop_reason' in reply: {change}\nsys.answer(replies, reply)")))
    load(host)
    with pytest.raises(UnreadableReply, match="toy: measuring latency: unreadable reply: ") as caught:
        measure(host)
    assert said in str(caught.value)
    assert not host.alive
