"""The service: what it answers, what it refuses, and that neither costs more than it may."""

import base64
import contextlib
import io
import json
import pathlib
import re
import shutil
import socket
import struct
import threading
import time
import urllib.request
import zlib

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from starlette.testclient import TestClient

from keras_mmc.serving.http import server
from keras_mmc.serving.http.app import Service
from keras_mmc.serving.http.engine import Engine
from keras_mmc.serving.http.limits import Limits
from tests.serving.conftest import BOX, NAMES, SHAPE

V1, V2 = "/v1/models/digits:predict", "/v2/models/digits/infer"


@pytest.fixture(scope="module")
def limits():
    return Limits(body=20_000, images=8, pixels=10_000, seconds=20, attacks=2)


@pytest.fixture(scope="module")
def engine(exported, limits):
    return Engine(exported, limits)


@pytest.fixture
def client(engine, limits):
    return TestClient(Service(engine, "digits", limits).app(), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def expected(exported, pixels):
    """What the SavedModel itself answers."""
    served = tf.saved_model.load(str(exported)).signatures["serving_uint8"]
    return {name: value.numpy() for name, value in served(images=tf.constant(pixels)).items()}


def in_box(pixels):
    return (-1 + pixels.astype("float64") * 2 / 255).tolist()


def encoded(files):
    return [{"b64": base64.b64encode(file).decode()} for file in files]


def check(outputs, expected):
    """The outputs of a request are those of the SavedModel."""
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        if name == "class_name":
            assert outputs[name] == [text.decode() for text in value]
        else:
            np.testing.assert_allclose(outputs[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_the_form_of_tensorflow_serving(client, pixels, files, expected):
    """Fails if rows, columns, named images, pixels or files get other answers than the graph."""
    floats, named = in_box(pixels), {"images": in_box(pixels)}
    bodies = [
        {"instances": floats},
        {"instances": [{"images": image} for image in floats]},
        {"instances": pixels.tolist(), "signature_name": "serving_uint8"},
        {"instances": encoded(files), "signature_name": "serving_bytes"},
        {
            "instances": [{"image_bytes": file} for file in encoded(files)],
            "signature_name": "serving_bytes",
        },
    ]
    for body in bodies:
        rows = client.post(V1, json=body).json()["predictions"]
        check({name: [row[name] for row in rows] for name in rows[0]}, expected)
    for body in ({"inputs": floats}, {"inputs": named}):
        check(client.post(V1, json=body).json()["outputs"], expected)
    assert client.post(V1, json={"instances": []}).json() == {"predictions": []}


def test_version_2_of_kserve(client, pixels, files, expected):
    """Fails if a datatype, a flat or nested tensor, or the choice of outputs is not heeded."""
    floats = np.array(in_box(pixels))
    texts = [file["b64"] for file in encoded(files)]
    given = [
        ("FP32", [5, *SHAPE], floats.tolist()),
        ("FP32", [5, *SHAPE], floats.reshape(-1).tolist()),
        ("UINT8", [5, *SHAPE], pixels.reshape(-1).tolist()),
        ("BYTES", [5], texts),
    ]
    for datatype, shape, data in given:
        tensor = {"name": "images", "datatype": datatype, "shape": shape, "data": data}
        answer = client.post(V2, json={"id": "7", "inputs": [tensor]}).json()
        assert answer["id"] == "7" and answer["model_name"] == "digits"
        outputs = {item["name"]: item for item in answer["outputs"]}
        for name, item in outputs.items():
            assert item["shape"] == list(expected[name].shape)
        shaped = {n: np.reshape(o["data"], o["shape"]).tolist() for n, o in outputs.items()}
        check(shaped, expected)
    wanted = client.post(V2, json={"inputs": [tensor], "outputs": [{"name": "label"}]}).json()
    (label,) = wanted["outputs"]
    assert label["data"] == expected["label"].tolist() and label["datatype"] == "INT32"


def test_what_is_no_number_is_null(client, pixels):
    """Fails if an image without an answer gets one, spoils others, or ends in invalid JSON."""
    images = np.array(in_box(pixels[:3]))
    images[1, 0, 0, 0] = 1e39  # infinite in float32
    text = json.dumps({"instances": images.tolist()}).replace("1e+39", "NaN", 1)
    for body in (text, text.replace("NaN", "1e39")):
        response = client.post(V1, content=body)
        rows = json.loads(response.content, parse_constant=pytest.fail)["predictions"]
        assert [row["accepted"] for row in rows][1] is False and rows[1]["reason"] == 1
        assert rows[1]["scores"] == [None] * 10 and rows[1]["distance"] is None
        assert rows[1]["label"] == -1 and rows[0]["label"] >= 0 and rows[2]["label"] >= 0


def test_what_is_told_of_the_model(client):
    """Fails if a probe, the metadata or the metrics are not those of the two protocols."""
    status = client.get("/v1/models/digits").json()["model_version_status"]
    assert status[0]["state"] == "AVAILABLE"
    told = client.get("/v1/models/digits/metadata").json()
    signatures = told["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "serving_uint8", "serving_bytes"}
    images = signatures["serving_uint8"]["inputs"]["images"]
    assert images["dtype"] == "DT_UINT8"
    assert [d["size"] for d in images["tensor_shape"]["dim"]] == ["-1", "8", "8", "1"]
    assert told["metadata"]["keras_mmc"]["class_names"] == NAMES
    model = client.get("/v2/models/digits").json()
    assert model["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 8, 8, 1]}]
    assert {"name": "scores", "datatype": "FP32", "shape": [-1, 10]} in model["outputs"]
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready"):
        assert client.get(path).status_code == 200
    client.post(V1, content=b"{")
    for method in ("GET", "HEAD", "PUT"):
        refused = client.request(method, V1)
        assert refused.status_code == 405 and refused.headers["allow"] == "POST"
    client.get("/nothing")
    lines = client.get("/metrics").text.splitlines()
    counted = {
        'route="/v1/models/{name}:predict",status="400"': 1,
        'route="other",status="405"': 3,
        'route="other",status="404"': 1,
    }
    for labels, number in counted.items():
        assert f"keras_mmc_requests_total{{{labels}}} {number}.0" in lines
    assert "process_resident_memory_bytes" in " ".join(lines)


def test_the_version_may_be_named(client, pixels):
    """Fails if the version that is announced has no addresses, or answers otherwise."""
    one = "/models/digits/versions/1"
    for path in (f"/v1{one}", f"/v1{one}/metadata", f"/v2{one}", f"/v2{one}/ready"):
        assert client.get(path).json() == client.get(path.replace("/versions/1", "")).json()
    body = {"instances": in_box(pixels[:1])}
    assert client.post(f"/v1{one}:predict", json=body).json() == client.post(V1, json=body).json()
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, *SHAPE], "data": [0] * 64}
    body = {"inputs": [tensor]}
    assert client.post(f"/v2{one}/infer", json=body).json() == client.post(V2, json=body).json()


def png(width, height, data=b""):
    """A PNG whose header says a size, whatever it holds."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    parts = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def v2(**changed):
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, *SHAPE], "data": [0] * 64}
    return V2, json.dumps({"inputs": [tensor | changed]})


def v1(**body):
    return V1, json.dumps(body)


def one_file(file):
    return v1(instances=encoded([file]), signature_name="serving_bytes")


GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"
CMYK = io.BytesIO()
PIL.Image.new("CMYK", (16, 16)).save(CMYK, "JPEG")
CMYK = CMYK.getvalue()
JPEG = tf.io.encode_jpeg(np.uint8(np.arange(4096).reshape(64, 64, 1) % 251)).numpy()
REFUSED = [
    ((V1, "{"), 400, "is no JSON"),
    ((V1, "[" * 19_000), 400, "is no JSON"),
    ((V1, "7"), 400, "must be a JSON object"),
    ((V1, b"\xff\xfe"), 400, "is no JSON"),
    ((V1, ""), 400, "body is empty"),
    ((V1, "9" * 5000), 400, "number in the body has too many digits"),
    (v1(), 400, "either `instances` or `inputs`"),
    (v1(instances=[], inputs=[]), 400, "either `instances` or `inputs`"),
    (v1(instances=7), 400, "must be a list of images; received 7"),
    (v1(instances=[[1, 2], [3]]), 400, "must have one shape"),
    (v1(instances=[["a"]]), 400, "must be numbers"),
    (v1(instances=[None]), 400, "must be numbers"),
    (v1(instances=[10**400]), 400, "must be numbers"),
    (v1(instances=[{"x": 1}]), 400, r"named 'images'; received \['x'\]"),
    (v1(instances=np.zeros((1, 9, 9, 1)).tolist()), 400, r"shape \(N, 8, 8, 1\); received \(1, 9"),
    (v1(instances=np.zeros(SHAPE).tolist()), 400, r"received \(8, 8, 1\)"),
    (v1(instances=np.zeros((9, *SHAPE), int).tolist()), 413, "at most 8 images; received 9"),
    (v1(instances=[], signature_name="x"), 400, "must be one of .*serving_bytes"),
    (v1(instances=[], signature_name=["x"]), 400, "must be one of"),
    (v1(instances=[[[[256]] * 8] * 8], signature_name="serving_uint8"), 400, "from 0 to 255"),
    (v1(instances=[[[[0.5]] * 8] * 8], signature_name="serving_uint8"), 400, "whole numbers"),
    (v1(instances=["x"], signature_name="serving_bytes"), 400, "in base64"),
    (v1(instances=[{"b64": "?"}], signature_name="serving_bytes"), 400, "in base64"),
    (one_file(b"no image"), 400, "is no PNG or JPEG"),
    (one_file(GIF), 400, "is no PNG or JPEG"),
    (one_file(JPEG[: len(JPEG) * 3 // 4]), 400, "File 0 is no whole PNG or JPEG"),
    (one_file(png(8, 8, b"\0" * 20)), 400, "File 0 is no whole PNG or JPEG"),
    (one_file(CMYK), 400, "File 0 is a CMYK JPEG; send RGB or gray images"),
    (one_file(png(100_000, 100_000)), 413, "10000 pixels together"),
    (one_file(png(200, 51)), 413, "10000 pixels together; file 0 goes"),
    ((V1, b" " * 20_001), 413, "at most 20000 bytes"),
    ((V2, "{}"), 400, "list of one object"),
    (v2(datatype="FP16"), 400, "must be one of .*'FP32'.*received 'FP16'"),
    (v2(shape=[2, *SHAPE]), 400, "holds 64 numbers"),
    (v2(shape=[-1, 8, 8, 1]), 400, "must be a list of sizes"),
    (v2(shape=[], data=[1]), 400, "begin with the number of images"),
    (v2(data="AAAA"), 400, "must be a list"),
    (v2(datatype="BYTES", shape=[2], data=["AAAA"]), 400, "holds 1 files"),
    (("/v1/models/other:predict", "{}"), 404, "there is 'digits'"),
    (("/v1/models/..%2f..%2fetc%2fpasswd:predict", "{}"), 404, "nothing here|no such model"),
    (("/v2/models/other/infer", "{}"), 404, "there is 'digits'"),
    (("/nothing", "{}"), 404, "nothing here"),
    (("/metrics", "{}"), 405, "POST is not taken"),
    (("/v1/models/digits/versions/2:predict", "{}"), 404, "no such version; there is '1'"),
    (("/v1/models/digits:classify", "{}"), 404, "verb is not there; predict is"),
    (("/v1/models/digits/versions/1:classify", "{}"), 404, "verb is not there; predict is"),
    (("/page/predict", b"no image"), 400, "is no PNG or JPEG"),
    (("/page/predict", CMYK), 400, "File 0 is a CMYK JPEG"),
    (("/page/attack?eps=1", CMYK), 400, "File 0 is a CMYK JPEG"),
    (("/page/attack?eps=0", b"x"), 400, "above 0 and at most 2"),
    (("/page/attack?eps=nan", b"x"), 400, "above 0 and at most 2"),
    (("/page/attack", b"x"), 400, "above 0 and at most 2"),
    (("/page/attack?eps=1", png(8, 8, b"\0")), 400, "no whole PNG or JPEG"),
]


@pytest.mark.parametrize(("request_", "status", "message"), REFUSED)
def test_refusals_are_one_line(request_, status, message, client):
    """Fails if what is malformed is a 500, is answered, or is not told what was expected."""
    path, body = request_
    response = client.post(path, content=body)
    assert response.status_code == status, response.text
    (text,) = response.json().values()
    assert "\n" not in text and len(text) < 400
    assert re.search(message, text), text


def test_a_body_without_a_length_is_counted(client):
    """Fails if chunks go on beyond the limit of a body."""
    response = client.post(V1, content=(b" " * 1000 for _ in range(30)))
    assert response.status_code == 413


def test_all_bodies_together_are_bounded(engine, pixels):
    """Fails if many bodies at a time may hold more memory than one service may."""
    tight = Limits(memory=500)
    client = TestClient(Service(engine, "digits", tight).app())
    response = client.post(V1, json={"instances": in_box(pixels)})
    assert response.status_code == 503 and response.headers["retry-after"]
    service = Service(engine, "digits", tight)
    client = TestClient(service.app())
    assert client.post(V1, content=b"{").status_code == 400
    assert service._intake.held == 0


def test_the_page(client, files, expected):
    """Fails if the page loads from elsewhere, or tells another answer than the service."""
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text and "https://" not in page.text
    for name, kind in (("page.js", "javascript"), ("page.css", "css")):
        assert kind in client.get(f"/page/{name}").headers["content-type"]
    assert client.get("/page/..%2fengine.py").status_code == 404
    facts = client.get("/page/facts.json").json()
    assert facts["box"] == list(BOX) and facts["statistic"] == "distance"
    told = client.post("/page/predict", content=files[0]).json()
    best = told["classes"][0]
    assert best["name"] == NAMES[expected["label"][0]]
    assert best["distance"] == pytest.approx(expected["distance"][0], rel=1e-4)
    assert best["probability"] == pytest.approx(expected["probabilities"][0].max(), rel=1e-3)
    assert told["accepted"] == expected["accepted"][0]
    probabilities = [found["probability"] for found in told["classes"]]
    assert probabilities == sorted(probabilities, reverse=True) and len(probabilities) == 10


def decoded(address):
    file = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return tf.io.decode_png(file).numpy().astype("float64")


def test_an_attack_stays_in_its_ball_and_fools(client, files, pixels):
    """Fails if a picture is not the attack's, leaves the ball, or nothing found is called found."""
    nothing = client.post("/page/attack?eps=0.0001", content=files[0]).json()
    assert nothing["found"] is False and "adversarial" not in nothing
    found = client.post("/page/attack?eps=0.8", content=files[0]).json()
    assert found["found"] and found["largest_change"] <= 0.8 + 1e-6
    assert found["before"]["classes"][0]["name"] != found["after"]["classes"][0]["name"]
    clean, adversarial = decoded(found["clean"]), decoded(found["adversarial"])
    np.testing.assert_array_equal(clean, pixels[0])
    change = adversarial - clean
    assert 0 < abs(change).max() <= 0.8 * 255 / 2 + 1
    shown = decoded(found["difference"])
    np.testing.assert_allclose(shown, np.clip(127.5 + 10 * change, 0, 255), atol=6)


def test_attacks_wait_in_a_bounded_queue_and_block_nothing(engine, limits, files, monkeypatch):
    """Fails if predictions wait for attacks, or any number of attacks may wait."""
    go_on, statuses = threading.Event(), []
    monkeypatch.setattr(engine, "attack", lambda *_: go_on.wait(10) and None)
    with TestClient(Service(engine, "digits", limits).app()) as client:

        def attack():
            answer = client.post("/page/attack?eps=1", content=files[0])
            statuses.append((answer.status_code, "retry-after" in answer.headers))

        threads = [threading.Thread(target=attack) for _ in range(4)]
        for thread in threads:  # one runs, two wait, one is too many
            thread.start()
            time.sleep(0.3)
        for _ in range(50):
            time.sleep(0 if statuses else 0.1)
        assert statuses == [(429, True)]
        assert client.post("/page/predict", content=files[0]).status_code == 200
        go_on.set()
        for thread in threads:
            thread.join()
    assert statuses == [(429, True), *[(200, False)] * 3]


def test_work_that_takes_too_long_is_given_up(engine, monkeypatch, files):
    """Fails if a client waits for ever."""
    monkeypatch.setattr(engine, "answer", lambda *_: time.sleep(2))
    client = TestClient(Service(engine, "digits", Limits(seconds=0.5)).app())
    response = client.post("/page/predict", content=files[0])
    assert response.status_code == 503 and "within 0.5 seconds" in response.json()["error"]


def test_a_bug_is_a_500_without_a_traceback(client, engine, monkeypatch, files):
    """Fails if an unexpected error ends the service or tells its insides."""
    monkeypatch.setattr(engine, "answer", lambda *_: 1 / 0)
    response = client.post("/page/predict", content=files[0])
    assert response.status_code == 500
    assert response.json() == {"error": "The service failed; its log says why."}


NAMED = {name: [] for name in ("class_names", "image_shape", "box", "reasons")}
FACTS = {"format": "SavedModel", "statistic": "distance", "threshold": None, **NAMED}


def save(module, path):
    tf.saved_model.save(module, path, module.f)
    (path / "keras_mmc.json").write_text(json.dumps(FACTS))


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda x: tf.io.read_file("/etc/passwd") + x, "holds ReadFile"),
        (lambda x: tf.numpy_function(lambda x: x, [x], tf.string), "holds PyFunc"),
    ],
)
def test_graphs_that_reach_out_are_refused(work, message, tmp_path, limits):
    """Fails if a directory that someone sends can read files or call Python."""
    module = tf.Module()
    module.f = tf.function(work, input_signature=[tf.TensorSpec([], tf.string, "images")])
    save(module, tmp_path)
    with pytest.raises(ValueError, match=message):
        Engine(tmp_path, limits)


def test_old_graphs_that_reach_out_are_refused(tmp_path, limits):
    """Fails if operations outside of functions, as of TensorFlow 1, are not looked at."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        name = tf.compat.v1.placeholder(tf.string, [])
        outputs = {"scores": tf.io.read_file(name)}
        tf.compat.v1.saved_model.simple_save(session, str(tmp_path), {"images": name}, outputs)
    (tmp_path / "keras_mmc.json").write_text(json.dumps(FACTS))
    with pytest.raises(ValueError, match="holds ReadFile"):
        Engine(tmp_path, limits)


def test_directories_that_are_no_export(exported, tmp_path, limits):
    """Fails if another directory ends in an error that does not say what is missing."""
    with pytest.raises(FileNotFoundError, match="is no export of this package"):
        Engine(tmp_path, limits)
    facts = json.loads((exported / "keras_mmc.json").read_text())
    without = {key: value for key, value in facts.items() if key != "box"}
    for changed, message in (
        (facts | {"format": "ONNX"}, "an export to ONNX"),
        (without, "it lacks box"),
        ([], "anew"),
    ):
        (tmp_path / "keras_mmc.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=message):
            Engine(tmp_path, limits)
    data, index = (f"variables/variables.{end}" for end in ("data-00000-of-00001", "index"))
    for name, message in (
        ("saved_model.pb", "no SavedModel that can be read"),
        (data, "files do not fit together, or are cut"),
        (index, "files do not fit together, or are cut"),
    ):
        shutil.copytree(exported, tmp_path / "cut", dirs_exist_ok=True)
        file = tmp_path / "cut" / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
        with pytest.raises(ValueError, match=message) as refusal:
            Engine(tmp_path / "cut", limits)
        assert "\n" not in str(refusal.value)


def test_a_table_is_served_without_a_page_for_images(tmp_path, limits):
    """Fails if a model of rows of numbers cannot be served, or the page offers it images."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    engine = server.load(model, (0.0, 1.0), limits)
    client = TestClient(Service(engine, "table", limits).app())
    rows = client.post("/v1/models/table:predict", json={"instances": [[0, 0.5, 1, 0]]}).json()
    expected = model.predict(np.array([[0, 0.5, 1, 0]]), verbose=0)
    np.testing.assert_allclose(rows["predictions"][0]["scores"], expected[0], rtol=1e-5)
    assert client.get("/page/facts.json").json()["takes_files"] is False
    assert client.post("/page/predict", content=b"x").status_code == 404


@contextlib.contextmanager
def running(engine, limits, monkeypatch, head_seconds=1):
    """A service in a thread; yields its port."""
    monkeypatch.setattr(server, "_HEAD_SECONDS", head_seconds)
    place = server.bound("127.0.0.1", 0)
    servers = []
    monkeypatch.setattr(uvicorn.Server, "install_signal_handlers", lambda self: None, raising=False)
    original = uvicorn.Server.__init__

    def remember(self, config):
        original(self, config)
        servers.append(self)

    monkeypatch.setattr(uvicorn.Server, "__init__", remember)
    arguments = (engine, "digits", place, limits)
    thread = threading.Thread(target=server.serve, args=arguments, daemon=True)
    thread.start()
    while not (servers and servers[0].started):
        time.sleep(0.05)
    try:
        yield place.getsockname()[1], servers[0]
    finally:
        servers[0].should_exit = True
        thread.join(30)


def received(connection):
    connection.settimeout(8)
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_slow_clients_and_a_graceful_stop(engine, monkeypatch, pixels):
    """Fails if a client that sends slowly holds a connection, or a stop loses a request."""
    body = json.dumps({"instances": in_box(pixels[:1])}).encode()
    head = f"POST {V1} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with contextlib.ExitStack() as open_, running(engine, Limits(seconds=4), monkeypatch) as found:
        port, service = found

        def connect(text):
            connection = open_.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(text)
            return connection

        slow_head, slow_body, silent = connect(head[:20]), connect(head + body[:9]), connect(b"")
        assert received(slow_head) == b"" and received(silent) == b""
        assert received(slow_body).startswith(b"HTTP/1.1 408")
        at_work = connect(head + body[:9])
        time.sleep(0.3)
        service.should_exit = True
        time.sleep(0.5)
        at_work.sendall(body[9:])
        answer = received(at_work)
        assert answer.startswith(b"HTTP/1.1 200") and b'"label"' in answer
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_many_clients_at_a_time(engine, monkeypatch, pixels, expected):
    """Fails if answers of one client reach another, or any of 40 is refused."""
    labels = {}
    with running(engine, Limits(seconds=30), monkeypatch, head_seconds=10) as (port, _):

        def ask(i):
            image = in_box(pixels[i % 5 : i % 5 + 1])
            url = f"http://127.0.0.1:{port}{V1}"
            body = json.dumps({"instances": image}).encode()
            with urllib.request.urlopen(url, body, timeout=30) as answer:
                (row,) = json.load(answer)["predictions"]
            labels[i] = row["label"], row["distance"]

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for i in range(40):
        assert labels[i][0] == expected["label"][i % 5]
        assert labels[i][1] == pytest.approx(expected["distance"][i % 5], rel=1e-4)


@contextlib.contextmanager
def browser_of(address):
    """The page in a narrow window; nothing may be on its console but what was refused."""
    driver_path = shutil.which("chromedriver")
    if driver_path is None:
        pytest.skip("chromedriver is not installed (Debian: apt-get install chromium-driver)")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(driver_path)) as browser:
        size = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(address)
        yield browser
        assert not [line for line in browser.get_log("browser") if "400" not in line["message"]]


LINES = """
const text = document.createRange();
text.selectNodeContents(arguments[0]);
return text.getClientRects().length;
"""
HOLD = """
const real = window.fetch;
window.held = [];
window.fetch = async (...given) => {
  const answer = await real(...given);
  await new Promise((go) => window.held.push(go));
  return answer;
};
"""


def test_the_page_in_a_browser(engine, monkeypatch, tmp_path, files, expected):
    """Fails if a visitor cannot get a prediction and attack it, or sees that of another image."""
    given = {"first": files[0], "again": files[0], "second": files[1], "text": b"no image"}
    places = {name: str(tmp_path / f"{name}.png") for name in given}
    for name, file in given.items():
        pathlib.Path(places[name]).write_bytes(file)
    names = [f"{'Donaudampfschiff' * 3}-{name}" for name in NAMES]
    monkeypatch.setitem(engine.facts, "class_names", names)
    first, second = (names[label] for label in expected["label"][:2])
    assert first != second
    with (
        running(engine, Limits(), monkeypatch, head_seconds=10) as (port, _),
        browser_of(f"http://127.0.0.1:{port}/") as browser,
    ):

        def find(name):
            return browser.find_element(By.ID, name)

        def wait(condition):
            WebDriverWait(browser, 30, ignored_exceptions=[AssertionError]).until(condition)

        def sizes_fit():
            width = browser.execute_script("return document.documentElement.scrollWidth")
            lines = [browser.execute_script(LINES, find(name)) for name in ("class", "probability")]
            return width <= 390 and lines == [1, 1]

        wait(lambda _: "10 classes" in find("about").text)
        assert not find("uncalibrated").is_displayed()
        find("file").send_keys(places["first"])
        wait(lambda _: find("label").text == first)
        rows = browser.find_elements(By.CSS_SELECTOR, "#classes tr")
        assert len(rows) == 10 and f"{expected['distance'][0]:.2f}" in rows[0].text
        assert first in find("shown").get_attribute("alt")
        assert find("eps-value").text == "0.0627" and "8 of 255" in find("eps-units").text
        assert "It does not know when the model rejects" in find("attack").text
        assert not find("clean").is_displayed() and sizes_fit()
        find("eps").send_keys(Keys.END)  # eps is half the width of the box
        told = "Wrong and accepted at.*accepted\\.$|Label changed, but rejected, at.*rejected\\.$"
        wait(lambda _: re.match(told, find("attack-status").text))
        assert " at eps 1: " in find("attack-status").text
        for name in ("clean", "adversarial", "difference"):
            assert find(name).is_displayed() and browser.execute_script(
                "return arguments[0].naturalWidth > 0 && arguments[0].alt !== ''", find(name)
            )
        assert sizes_fit()

        browser.execute_script(HOLD)
        find("file").send_keys(places["again"])
        assert not find("views").is_displayed() and not find("answer").is_displayed()
        wait(lambda _: browser.execute_script("return held.length === 1"))
        find("file").send_keys(places["second"])
        wait(lambda _: browser.execute_script("return held.length === 2"))
        browser.execute_script("held[1]()")
        wait(lambda _: find("label").text == second)
        browser.execute_script("held[0]()")
        find("eps").send_keys(Keys.HOME)
        wait(lambda _: browser.execute_script("return held.length === 3"))
        assert find("label").text == second and not find("clean").is_displayed()
        find("file").send_keys(places["text"])
        browser.execute_script("held[2]()")
        wait(lambda _: browser.execute_script("return held.length === 4"))
        browser.execute_script("held[3]()")
        wait(lambda _: "is no PNG or JPEG" in find("status").text)
        assert not find("answer").is_displayed() and not find("views").is_displayed()

        for name, fetch, words in (
            ("first", "() => Promise.reject(new TypeError())", "service does not answer"),
            ("second", "async () => new Response('<p>', {status: 413})", "the file is too large"),
        ):
            browser.execute_script(f"window.fetch = {fetch}")
            find("file").send_keys(places[name])
            wait(lambda _, words=words: words in find("status").text)
        monkeypatch.setitem(engine.facts, "threshold", None)
        browser.refresh()
        wait(lambda _: find("uncalibrated").is_displayed())
        drop = "new DragEvent('drop', {bubbles: true, cancelable: true})"
        assert not browser.execute_script(f"return document.body.dispatchEvent({drop})")
