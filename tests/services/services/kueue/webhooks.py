"""webhooks.py NAME URL CA-FILE: webhook configurations as JSON on stdin; on stdout for a controller that listens at URL, here."""

import base64
import json
import sys
from pathlib import Path

KUEUES = ("jobset", "clusterqueue", "resourceflavor", "workload", "cohort")
"""Kinds of which Kueue is told; `mjobset.kb.io` and `vjobset.kb.io` are of the kind jobset."""
OF_JOBSETS = {"matchExpressions": [{"key": "jobset.sigs.k8s.io/jobset-name", "operator": "Exists"}]}


def documents(text):
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        found, at = decoder.raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))
        yield from found["items"] if found["kind"] == "List" else [found]


def moved(document, name, url, authority):
    webhooks = [webhook for webhook in document["webhooks"] if name != "kueue" or webhook["name"].split(".")[0][1:] in KUEUES]
    for webhook in webhooks:
        webhook["clientConfig"] = {"url": url + webhook["clientConfig"]["service"]["path"], "caBundle": authority}
        if name == "jobset" and "pod" in webhook["name"]:
            webhook["objectSelector"] = OF_JOBSETS
    return {**document, "metadata": {"name": f"{name}-{document['metadata']['name']}"}, "webhooks": webhooks}


name, url, file = sys.argv[1:]
authority = base64.b64encode(Path(file).read_bytes()).decode()
items = [moved(document, name, url, authority) for document in documents(sys.stdin.read())]
json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout)
