"""Routes: what each takes and answers, protocol by protocol."""

import asyncio
import base64
import dataclasses

import pytest

from tests.serving.server.fake_bank import (
    TOKEN,
    FakeBank,
    asked,
    client_of,
    make_server,
    post,
    predict,
)
from tf_adapters.serving.server import json_http


@pytest.fixture(scope="module")
def bank():
  return FakeBank()


@pytest.fixture
def server(bank):
  return make_server(bank, max_wait_ms=0.0)


def scores_of(bank, task, text):
  return sorted(predict(task, bank.info(task), text).probabilities.items(),
                key=lambda item: -item[1])


def test_inputs_as_hugging_face_has_them(bank, server):
  def answer(body, path="/predict"):
    response = post(server, path, body)
    assert response.status_code == 200, response.text
    return response.json()

  of_topic = [{"label": label, "score": score}
              for label, score in scores_of(bank, "topic", "a film")]
  assert answer({"inputs": "a film", "task": "topic"}) == of_topic
  assert answer({"inputs": "a film"}, "/models/topic") == of_topic
  assert answer({"inputs": ["a film"]}, "/models/topic") == [of_topic]
  assert answer({"inputs": [], "task": "topic"}) == []
  assert answer({"inputs": "a film", "task": "topic", "parameters": {
      "top_k": 1}}) == of_topic[:1]
  both = answer({"inputs": "a film", "tasks": ["topic", "tags", "topic"]})
  assert list(both) == ["topic", "tags"] and both["topic"] == of_topic
  assert both["tags"] == [
      {"label": label, "score": score, "predicted": score > 0.2}
      for label, score in scores_of(bank, "tags", "a film")]
  pair = ("he", "she")
  expected = [{"label": label, "score": score}
              for label, score in scores_of(bank, "same", pair)]
  for inputs in ({"text": "he", "text_pair": "she"},
                 {"question": "he", "context": "she"}):
    assert answer({"inputs": inputs, "task": "same"}) == expected
  assert answer({"inputs": [["he", "she"]], "task": "same"}) == [expected]
  assert answer({"inputs": {"text": "a film"}, "task": "score"}) == {
      "score": predict("score", bank.info("score"), "a film").value}
  assert answer({"inputs": {"question": "q", "context": "abcd"},
                 "task": "answers"}) == {
      "answer": "abc", "score": 0.75, "start": 0, "end": 3}
  assert answer({"inputs": {"question": "q", "context": ""},
                 "task": "answers"})["answer"] == ""
  assert answer({"inputs": "abc", "task": "base"}) == [3.0, 0.5]
  assert answer({"inputs": "a " * 50, "truncate": True}, "/models/topic")
  assert answer({"inputs": "a " * 50, "parameters": {"truncation": True}},
                "/models/topic")


def test_a_text_that_is_refused_has_its_number_among_those_that_were_sent(
    server):
  *_, pair, long = asked(
      server, *(("POST", "/predict", body) for body in (
          {"inputs": ["a", "b"], "tasks": ["topic", "same"]},
          {"inputs": ["a", "a " * 50], "tasks": ["topic", "tags"]})))
  assert pair.json()["error"].startswith("text 0: task same is on pairs")
  assert long.json()["error"].startswith("text 1: is longer than the 12")


def test_answers_of_very_many_labels_are_the_same(bank, server, monkeypatch):
  requests = [("POST", "/models/topic", {"inputs": ["a", "b"]}),
              ("POST", "/v1/models/topic:predict", {"instances": ["a"]}),
              ("POST", "/v2/models/topic/infer", {"inputs": [{
                  "name": "text", "shape": [1], "datatype": "BYTES",
                  "data": ["a"]}]})]
  expected = [response.json() for response in asked(server, *requests)]
  monkeypatch.setattr(json_http, "_MANY_LABELS", 3)
  assert [response.json() for response in asked(server, *requests)] == expected


def test_tags_are_pieces_of_the_text(bank, server):
  text = " Ada\tLovelace  wrote\nto him "
  words = predict("words", bank.info("words"), text).value
  got = post(server, "/models/words", {"inputs": text}).json()
  for entity in got:
    assert entity["word"] == text[entity["start"]:entity["end"]]
    assert entity["entity_group"] == "PER" and entity["score"] == 0.5
  # Three kinds of tags follow each other in turn; each entity is B and I.
  tags = [tag for _, tag in words]
  begins = [place for place, tag in enumerate(tags) if tag == "B-PER" or (
      tag == "I-PER" and (not place or tags[place - 1] == "O"))]
  assert len(got) == len(begins)
  parts = post(server, "/models/pos", {"inputs": text}).json()
  assert [part["word"] for part in parts] == text.split()
  assert {part["entity_group"] for part in parts} == {"NOUN", "VERB"}
  assert post(server, "/models/words", {"inputs": ""}).json() == []


def test_instances_and_inputs_as_tensorflow_serving_has_them(bank, server):
  path = "/v1/models/topic:predict"
  value = predict("topic", bank.info("topic"), "good")
  row = {"label": value.value, "scores": list(value.probabilities.values()),
         "label_names": ["a", "b", "c"]}
  coded = {"b64": base64.b64encode(b"good").decode()}
  for one in ("good", {"text": "good"}, {"text": "good", "text_pair": ""},
              coded, {"text": coded}):
    assert post(server, path, {"instances": [one]}).json() == {
        "predictions": [row]}
  assert post(server, "/v1/models/topic/versions/1:predict", {
      "instances": ["good"], "signature_name": "serving_default"}).json() == {
          "predictions": [row]}
  for columns in ({"text": ["good", "good"]}, ["good", "good"],
                  {"text": ["good", "good"], "text_pair": [""]}):
    assert post(server, path, {"inputs": columns}).json() == {"outputs": {
        name: [cell, cell] for name, cell in row.items()}}
  pair = post(server, "/v1/models/same:predict", {"instances": [
      {"text": "a", "text_pair": ""}]}).json()["predictions"][0]
  assert pair["label"] == predict("same", bank.info("same"), ("a", "")).value
  score = predict("score", bank.info("score"), "good").value
  assert post(server, "/v1/models/score:predict", {"instances": ["good"]}
              ).json() == {"predictions": [{
                  "label": f"{score:.6g}", "scores": [score],
                  "label_names": [""]}]}
  words = post(server, "/v1/models/words:predict", {"instances": ["a b"]}
               ).json()["predictions"][0]
  assert len(words["label"].split()) == 2 and words["scores"] == [0.0] * 3
  assert post(server, "/v1/models/base:predict", {"instances": ["abc"]}
              ).json() == {"predictions": [[3.0, 0.5]]}
  status, metadata, older = asked(
      server, ("GET", "/v1/models/topic", None),
      ("GET", "/v1/models/topic/versions/1/metadata", None),
      ("GET", "/v1/models/topic/versions/2", None))
  assert status.json()["model_version_status"][0]["state"] == "AVAILABLE"
  signature = metadata.json()["metadata"]["signature_def"]["signature_def"]
  assert signature["serving_default"]["inputs"]["text"]["dtype"] == "DT_STRING"
  assert older.status_code == 404


def test_tensors_as_the_open_inference_protocol_has_them(bank, server):
  def tensor(name, data, shape=None):
    return {"name": name, "shape": shape or [len(data)], "datatype": "BYTES",
            "data": data}

  value = predict("topic", bank.info("topic"), "good")
  scores = list(value.probabilities.values())
  path = "/v2/models/topic/infer"
  answer = post(server, path, {
      "id": "7", "inputs": [tensor("text", ["good", "good"])]}).json()
  assert answer == {
      "model_name": "topic", "model_version": "1", "id": "7", "outputs": [
          {"name": "label", "datatype": "BYTES", "shape": [2],
           "data": [value.value] * 2},
          {"name": "scores", "datatype": "FP32", "shape": [2, 3],
           "data": scores * 2},
          {"name": "label_names", "datatype": "BYTES", "shape": [2, 3],
           "data": ["a", "b", "c"] * 2}]}
  few = post(server, "/v2/models/topic/versions/1/infer", {
      "inputs": [tensor("text", [["good"]], [1, 1])],
      "outputs": [{"name": "label"}]}).json()
  assert [one["name"] for one in few["outputs"]] == ["label"]
  pair = post(server, "/v2/models/same/infer", {"inputs": [
      tensor("text", ["a"]), tensor("text_pair", ["b"])]})
  assert pair.status_code == 200
  long = {"inputs": [tensor("text", ["a " * 50])]}
  assert post(server, path, long).status_code == 413
  assert post(server, f"{path}?truncation=true", long).status_code == 200
  assert post(server, path, {**long, "parameters": {"truncation": True}}
              ).status_code == 200
  live, cold, about, model, index = asked(
      server, ("GET", "/v2/health/live", None),
      ("GET", "/v2/health/ready", None), ("GET", "/v2", None),
      ("GET", "/v2/models/topic", None),
      ("POST", "/v2/repository/index", b""))
  assert live.json() == {"live": True}
  assert cold.status_code == 503
  assert about.json()["extensions"] == ["model_repository"]
  assert model.json()["outputs"][1]["shape"] == [-1, 3]
  assert {one["name"] for one in index.json()} == {*bank.infos}
  server.warm_up()
  for response in asked(server, ("GET", "/v2/health/ready", None),
                        ("GET", "/v2/models/topic/ready", None)):
    assert response.status_code == 200 and response.json()["ready"]


def test_tasks_are_listed_with_what_they_are(bank, server):
  (response,) = asked(server, ("GET", "/v1/models", None))
  found = {one["id"]: one for one in response.json()["data"]}
  assert found.keys() == bank.infos.keys()
  assert found["same"] == {
      "id": "same", "object": "model", "parent": "a fake encoder", "root": "",
      "problem_type": "classification", "labels": ["y", "n"],
      "metrics": {"test": {"accuracy": 0.5}}, "pair": True}
  assert found["answers"]["pair"] and found["score"]["labels"] == []
  odd = FakeBank()
  odd.infos["topic"] = dataclasses.replace(odd.infos["topic"], metrics={
      "test": {"pearson": float("nan"), "rows": 3}})
  (response,) = asked(make_server(odd), ("GET", "/v1/models", None))
  assert response.json()["data"][0]["metrics"] == {
      "test": {"pearson": None, "rows": 3}}


def test_the_encoder_alone_is_described_and_stays(server):
  live, ready, status, metadata = asked(
      server, ("GET", "/v2/models/base", None),
      ("GET", "/v2/models/base/ready", None), ("GET", "/v1/models/base", None),
      ("GET", "/v1/models/base/metadata", None))
  assert [one["name"] for one in live.json()["outputs"]] == ["embedding"]
  assert ready.json()["name"] == "base"
  assert status.json()["model_version_status"][0]["state"] == "AVAILABLE"
  (signature,) = metadata.json()["metadata"]["signature_def"][
      "signature_def"].values()
  assert list(signature["outputs"]) == ["embedding"]

  async def change():
    async with client_of(server) as client:
      return [await client.request(method, path, headers={
          "Authorization": f"Bearer {TOKEN}"}) for method, path in (
              ("DELETE", "/v1/adapters/base"),
              ("POST", "/v2/repository/models/base/load"),
              ("POST", "/v2/repository/models/base/unload"))]

  for answer in asyncio.run(change()):
    assert answer.status_code == 422
    assert "base is the encoder alone" in answer.json()["error"]


def test_figures_are_those_of_what_was_done(bank):
  server = make_server(bank, task_metrics=True, max_wait_ms=0.0)
  *_, stats, metrics = asked(
      server, ("POST", "/models/topic", {"inputs": ["a", "b"]}),
      ("POST", "/models/none", {"inputs": "a"}), ("GET", "/nowhere", None),
      ("GET", "/stats", None), ("GET", "/metrics", None))
  figures = stats.json()
  assert figures["requests_per_second"] > 0 and figures["p95_ms"] > 0
  assert figures["batch_rows"] == 2 and figures["batch_tasks"] == 1
  assert figures["queue_rows"] == 0 and figures["known_tasks"] == 8
  lines = metrics.text.splitlines()
  for line in ('tf_adapters_requests_total{code="200"} 2.0',
               'tf_adapters_requests_total{code="404"} 2.0',
               'tf_adapters_task_rows_total{task="topic"} 2.0',
               'tf_adapters_stage_seconds_count{stage="queue"} 2.0',
               'tf_adapters_stage_seconds_count{stage="compute"} 1.0',
               "tf_adapters_batch_rows_sum 2.0",
               "tf_adapters_batch_tokens_sum 8.0",
               "tf_adapters_resident_tasks 8.0"):
    assert line in lines, line
  (silent,) = asked(make_server(bank), ("GET", "/metrics", None))
  assert "task_rows" not in silent.text


def test_the_page_may_do_what_stands_in_it_and_nothing_else(server):
  (response,) = asked(server, ("GET", "/", None))
  assert response.headers["content-type"].startswith("text/html")
  policy = response.headers["content-security-policy"]
  assert "default-src 'none'" in policy and "connect-src 'self'" in policy
  assert "unsafe" not in policy
  assert response.headers["x-content-type-options"] == "nosniff"


def test_who_has_the_token_changes_tasks(tmp_path):
  server = make_server(FakeBank())

  async def scenario():
    async with client_of(server) as client:
      good = {"Authorization": f"Bearer {TOKEN}"}
      for headers, status in (({}, 401), (
          {"Authorization": "Bearer no"}, 401), (
              {"Authorization": f"Basic {TOKEN}"}, 401)):
        for method, path in (("POST", "/v1/adapters"),
                             ("DELETE", "/v1/adapters/topic"),
                             ("POST", "/v2/repository/models/topic/unload")):
          answer = await client.request(method, path, headers=headers, json={})
          assert answer.status_code == status, (method, path)
          assert answer.headers["www-authenticate"] == "Bearer"
      added = await client.post("/v1/adapters", headers=good, json={
          "name": "team/new", "path": "adapters/new"})
      assert added.json()["root"] == "adapters/new"
      assert (await client.post("/models/team/new", json={"inputs": "a"})
              ).status_code == 200
      bad = await client.post("/v1/adapters", headers=good, json={
          "name": "team/new", "path": "bad"})
      assert bad.status_code == 422 and bad.json() == {
          "error": "bad: is damaged"}
      assert (await client.post("/v2/repository/models/team/new/load",
                                headers=good)).status_code == 200
      assert (await client.delete("/v1/adapters/team/new", headers=good)
              ).json()["deleted"]
      assert (await client.post("/v2/repository/models/topic/unload",
                                headers=good)).status_code == 200
      assert (await client.delete("/v1/adapters/topic", headers=good)
              ).status_code == 404
      assert (await client.post("/v1/adapters", headers=good, json={})
              ).status_code == 422
    async with client_of(server, token=None) as client:
      answer = await client.post("/v1/adapters", headers=good, json={})
      assert answer.status_code == 403

  asyncio.run(scenario())
