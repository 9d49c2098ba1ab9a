"""A small hub on this machine: what huggingface_hub asks of one to read and write a repository."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TOKEN = "hf_mine"
LICENSES = {"mit", "apache-2.0"}


class Repository:
    """Commits, each with all files by name, the latest last."""

    def __init__(self, private: bool = False):
        self.private, self.gated, self.commits = private, False, {}

    def commit(self, files: dict[str, bytes]) -> str:
        """Add or change files; return the commit's name."""
        files = {**self.files(), **files}
        name = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[name] = files
        return name

    def files(self, revision: str = "main") -> dict[str, bytes] | None:
        """Return the files of a commit or of the branch main; None if there is no such revision."""
        if revision == "main":
            return list(self.commits.values())[-1] if self.commits else {}
        return self.commits.get(revision)


class Hub(ThreadingHTTPServer):
    """The hub, in a thread of its own; repositories and requests are here to look at and change."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, Repository] = {}
        self.stored: dict[str, bytes] = {}  # large files by their SHA-256
        self.requests: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status=200, content=b"", fault="", **headers):
        """Send JSON or bytes. `fault` is the hub's name of an error."""
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        if fault:
            headers["X-Error-Code"] = fault
        self.send_response(status)
        headers.setdefault("Content-Length", len(content))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_any(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self.server.requests.append(f"{self.command} {self.path}")
        for pattern, action in ROUTES:
            if match := re.fullmatch(pattern, f"{self.command} {self.path}"):
                return action(self, *match.groups())
        return self.answer(404)

    do_GET = do_HEAD = do_POST = do_PUT = do_any

    def found(self, name) -> Repository | None:
        """Return a repository that the caller may see, or answer that there is none."""
        repository = self.server.repositories.get(name)
        if repository and (self.known or not repository.private):
            return repository
        self.answer(404 if self.known else 401, fault="RepoNotFound")
        return None

    def file(self, name, revision, path):
        if not (repository := self.found(name)):
            return None
        if repository.gated:
            return self.answer(403, fault="GatedRepo")
        if (files := repository.files(revision)) is None:
            return self.answer(404, fault="RevisionNotFound")
        commit = revision if revision != "main" else list(repository.commits)[-1]
        if path not in files:
            return self.answer(404, fault="EntryNotFound", X_Repo_Commit=commit)
        content = files[path]
        digest = hashlib.sha256(content).hexdigest()
        self.server.stored[digest] = content
        size = {"X_Linked_Size": len(content), "X_Linked_Etag": f'"{digest}"'}
        # by another name, as on the hub: huggingface_hub follows a redirection to the same host
        location = f"http://localhost:{self.server.server_port}/stored/{digest}"
        return self.answer(302, X_Repo_Commit=commit, Location=location, **size)

    def stored(self, digest):
        self.answer(content=self.server.stored[digest])

    def info(self, name):
        if repository := self.found(name):
            siblings = [{"rfilename": path} for path in repository.files()]
            about = {"id": name, "private": repository.private, "siblings": siblings}
            self.answer(content={**about, "sha": (*repository.commits, "none")[-1]})

    def create(self):
        if not self.known:
            return self.answer(401, {"error": "Invalid username or password."})
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != "me":
            return self.answer(403, {"error": "You don't have the rights to create a model here"})
        url = {"url": f"{self.server.address}/{name}"}
        if name in self.server.repositories:
            return self.answer(409, url)
        private = asked.get("private") or asked.get("visibility") == "private"
        self.server.repositories[name] = Repository(bool(private))
        return self.answer(content=url)

    def check_page(self):
        header = yaml.safe_load(json.loads(self.body)["content"].split("---\n")[1])
        faults = []
        if header.get("license", "mit") not in LICENSES:
            faults.append({"message": '"license" must be one of [apache-2.0, mit]'})
        self.answer(400 if faults else 200, {"errors": faults, "warnings": []})

    def modes(self, name):
        modes = []
        for file in json.loads(self.body)["files"]:
            mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
            modes.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False})
        self.answer(content={"files": modes})

    def batch(self, name):
        objects = []
        for file in json.loads(self.body)["objects"]:
            upload = {"href": f"{self.server.address}/store/{file['oid']}"}
            objects.append({**file, "actions": {"upload": upload}})
        self.answer(content={"transfer": "basic", "objects": objects})

    def store(self, digest):
        assert hashlib.sha256(self.body).hexdigest() == digest
        self.server.stored[digest] = self.body
        self.answer()

    def commit(self, name):
        files = {}
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.stored[value["oid"]]
        made = self.server.repositories[name].commit(files)
        url = f"{self.server.address}/{name}/commit/{made}"
        self.answer(content={"success": True, "commitOid": made, "commitUrl": url})


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = [
    (rf"(?:GET|HEAD) /{NAME}/resolve/([^/]+)/(.+)", Handler.file),
    (r"(?:GET|HEAD) /stored/(\w+)", Handler.stored),
    (rf"GET /api/models/{NAME}", Handler.info),
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.check_page),
    (rf"POST /api/models/{NAME}/preupload/main", Handler.modes),
    (rf"POST /{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /store/(\w+)", Handler.store),
    (rf"POST /api/models/{NAME}/commit/main", Handler.commit),
]
