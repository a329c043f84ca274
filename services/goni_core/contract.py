"""What the services say to each other over their Unix sockets: the only agreement between them.

``engine.sock`` (goni_engine)
    GET    /health                    Health
    GET    /v1/models                 OpenAI's list; each entry's ``goni`` is a Model
    PUT    /models/{name}             body: a GGUF file; 201 and its Model
    DELETE /models/{name}             and what lies beside it; NAME.mmproj.gguf or NAME.draft.gguf:
                                      that file alone
    GET    /stats                     {"models": [ModelStats]}: those that are loaded
    GET    /load                      Load: what a chat model here can take on now, and how fast
    GET    /catalog                   {"hub": address, "models": [Offer]}: what can be downloaded
    POST   /incoming                  {"name", "bytes", "sha256", "tag"} (the last two may be left
                                      out) -> 201 and its Incoming; 200 when the same file, by its
                                      sha256 or the sender's own tag, broke off earlier
    GET    /incoming                  {"incoming": [Incoming]}
    GET    /incoming/{id}             Incoming
    PATCH  /incoming/{id}             header Upload-Offset; body: the next bytes, as many as come ->
                                      {"offset", "bytes", "complete", "model": Model or null}; 409
                                      wrong_offset. An empty body finishes a file that is all here
    DELETE /incoming/{id}
    GET    /sticks                    {"sticks": [Stick], "imports": [Import]}
    POST   /sticks/imports            {"stick", "path"} -> 202, its Import; it goes on by itself
    DELETE /sticks/imports/{id}       ends it and removes what came, or forgets a finished one
    POST   /v1/chat/completions       OpenAI's, streamed or not, pictures as data: URLs for models
                                      that read them; ``model`` must exist (404); the
                                      field ``goni`` {"person": opaque id} lets what the engine has
                                      read of this person's conversation be used again
    POST   /v1/completions            likewise
    POST   /v1/rerank                 {"model", "query", "documents", "top_n"} -> {"model",
                                      "results": [{"index", "relevance_score"}], "usage"}, best
                                      first, scores from 0 to 1
    POST   /v1/embeddings             OpenAI's; float or base64
    POST   /count                     {"model", "messages"} -> Count

``rag.sock`` (goni_rag); ``owner`` is a person's id, or "shared"; a path has folders before the name
    GET    /health                    Health
    PUT    /documents/{path}?owner=   body: the file; 201 and its Document once searchable; the
                                      folders above are made. With &wait=no they have to be there
                                      (409 no_folder), hidden names are allowed, and the answer
                                      {} comes as soon as the file is kept
    GET    /documents?owner=          {"documents": [Document], "more"}, by path, 1000 at a time:
                                      &after= is the last path so far, &folder= only what is below,
                                      &state= only those
    DELETE /documents?owner=&path=    the document, or the folder with all that is in it; also as
                                      /documents/{path}?owner=
    GET    /files?owner=&path=        the file itself, or a Range of it
    GET    /folder?owner=&path=       {"entry": Entry, "entries": [Entry], "more"}: a file or folder
                                      and what is in it ("" is the owner's whole folder);
                                      &hidden=yes: with hidden ones too
    POST   /folder                    {"owner", "path"} -> 201 and its Entry
    POST   /move                      {"owner", "path", "to_owner", "to", "replace"} -> its Entry;
                                      409 exists unless "replace"
    POST   /copy                      likewise
    DELETE /owners/{owner}            all that the owner has -> {"documents": how many}
    GET    /progress?owner=           Progress
    POST   /search                    {"owner", "query", "k"} -> {"sources": [Source], "found"}:
                                      the passages nearest to the question, best first, and whether
                                      they seem to contain its answer. Only documents of "space"
                                      (private, shared), below "folder", of "types" (pdf, text,
                                      table, slides, mail, picture, code, or endings), last changed
                                      from "since" to "until" (seconds since 1970); each may be
                                      left out

``gateway.sock`` (goni_gateway)
    GET    /health                    Health
    GET    /setup                     {"complete": bool, "node_name": str, "owner": name or ""}
    PUT    /setup/owner               {"name", "password"}: who the owner will be; may be said again
                                      until the node is set up, then 409
    POST   /setup                     {"node_name"}: set up, with the owner named before, or those
                                      of the household that this node has joined; or
                                      {"owner": {"name", "password"}, "node_name"} -> 201, or 409
    GET    /downloads                 {"downloads": [{"id", "model", "title", "state", "reason",
                                      "bytes", "done_bytes", "seconds_left", ...}]}, as the page's
    POST   /downloads                 {"model": an offer's id} -> 201 {"id"}; goes on by itself
    DELETE /downloads/{id}            with what came of it

``update.sock`` (goni_update)
    GET    /health                    Health; well even when the last check failed, which it says
    GET    /status                    versions, slots with their state, channel, what is offered,
                                      what waits for a restart, what failed, the progress, the
                                      sticks with releases, why others of the household go first
    GET    /history                   {"events": [{"at", "what", "version", "words"}]}, newest first
    GET    /events                    the progress as it changes, a JSON object per line, until
                                      nothing runs: {"running", "action", "version", "stage",
                                      "done", "total", "words", "error", "hint", "code"}
    POST   /check                     {"from": folder or left out} -> {"offered", "words", ...}
    POST   /apply                     {"version", "now", "from"}, each may be left out -> 202 and
                                      the progress; 409 busy while an update runs
    POST   /auto                      what the timer asks for: check, and apply unless paused
    POST   /restart                   {} -> {"version", "words"}; 409 nothing_pending
    POST   /rollback                  {"now"} -> {"version", "words"}; 409 no_other_version
    POST   /settings                  {"channel", "paused", "quiet_from", "quiet_until"}, each may
                                      be left out -> as /status

``mesh.sock`` (goni_mesh); ``password`` is the owner's word, kept no longer than the request
    GET    /health                    Health
    GET    /status                    MeshStatus
    GET    /peers                     {"peers": [PeerState]}
    GET    /nodes                     {"nodes": [NodeLoad]}: peers that say what they can take on
    POST   /nodes/{id}/v1/chat/completions   as the engine's, by that peer's engine; the person is
                                      told to it as an id that means nothing elsewhere
    POST   /nodes/{id}/count          likewise
    GET    /nearby                    {"nodes": [Nearby]}: who announces itself on the network
    POST   /household                 {"name", "node_name", "password"} -> 201 {"recovery"}: the
                                      code to write down, shown this once; 409 in a household
    PUT    /password                  {"password", "new"}
    GET    /authority                 {"certificate"}: the household's root in PEM, for browsers
    POST   /offer                     let an owner join this node -> 201 JoinOffer; DELETE ends it.
                                      With {"pin"}: by these six digits, which the asker shows, and
                                      until its tries are used up
    POST   /pair                      {"address", "pin", "name", "password"}: join the node that
                                      shows this PIN -> {"node", "words"}; 403 wrong_pin, 429
    POST   /invite                    {"name", "password"} -> 201 {"code", "port", "seconds"}: for
                                      one node, good while this node runs; DELETE ends it. With
                                      "short": true the code is a PIN, for a node that is near
    POST   /join                      {"address", "code"}: join by an invitation -> {"words"}
    POST   /remove                    {"node", "password"} or {"node", "recovery"}
    POST   /leave                     {}: forget the household, with a new key
    GET    /fields                    {"household": its id, "digest", "fields": [Field],
                                      "aside": [Field]}; these two are null with ?unlike= the
                                      digest that the roster still has
    PUT    /fields/{name}             {"value"}: write a field of the roster, such as
                                      setting/language

``install.sock`` (goni_install; root, without a network): what only root can do to the disks
    GET    /health                    Health
    GET    /disks                     {"disks": [{"name", "path", "bytes", "model", "serial",
                                      "transport", "contents": [words], "goni": version or "",
                                      "keeps_data", "refused": why or "", "hint"}]}
    POST   /install                   {"disk", "confirm": its name as typed, "keep_data",
                                      "restart"} -> 202 and its progress; 400 not_confirmed,
                                      403 refused, 409 busy
    GET    /install                   the progress: {"running", "finished", "disk", "phase",
                                      "done", "total", "seconds_left", "words", "error", "hint",
                                      "code"}
    GET    /events                    the same as it changes, a JSON object per line, until nothing
                                      runs
    GET    /recovery                  Recovery
    POST   /recovery                  {} -> 201 {"key"}: a new recovery key for the data partition,
                                      written as systemd-cryptenroll does (8 groups of 8 of the
                                      letters cbdefghijklnrtuv, joined by hyphens). It takes the
                                      place of an earlier one, is kept nowhere, and told this once;
                                      409 no_own_key
    POST   /reset                     {"confirm", "again": the node's name as typed, twice}:
                                      factory reset; the node restarts

``/run/goni/preseed.json``, left by goni-install for the setup page: {"node_name", "owner",
"language", "trouble": what went wrong with the stick's goni.yaml, in words}
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from goni_core import fields

EMBEDDING_MODEL = "all-MiniLM-L6-v2"
"""Id of the embedding model that comes with the image; 384 dimensions, unit length."""
EMBEDDING_FILE = "all-MiniLM-L6-v2-f16.gguf"
EMBEDDING_DIMENSIONS = 384
EMBEDDING_CONTEXT = 256
"""Tokens the embedding model was trained on; chunks stay below it."""

MESH_PORT, PAIRING_PORT = 7475, 7476
"""TCP ports: the channel between nodes of a household, and pairing with a new one."""

MOST_ALSO = 20
"""Other documents that are named with a passage which they have too."""
MOST_LOADS = 32
"""Models at most that a node tells others about."""
QUESTION_LIMIT = 24 << 20
"""Bytes of a chat request: a long chat, and a few pictures in base64."""

MODEL_LIMIT = 512 << 30
DOCUMENT_LIMIT = 512 << 20
"""Bytes at most of one model and of one document."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what was found, in words."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True)
class Health:
    """A service's state. ``ok`` is false when any check failed; ``words`` is for the person."""

    service: str
    ok: bool
    words: str = ""
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Model:
    """A model on this node. ``kind``: chat, embedding or rerank; ``state``: available, loading,
    loaded, unusable. ``slots`` is how many answers it computes at once, 0 while it isn't loaded;
    ``pictures``: it reads them.
    """

    id: str
    kind: str
    bytes: int
    context: int
    architecture: str
    state: str
    reason: str = ""
    slots: int = 0
    pictures: bool = False


@dataclass(frozen=True)
class ModelStats:
    """A loaded model: bytes of memory; slots, how many answer, how many requests wait for one;
    tokens since it was loaded; how fast one answer came lately (0: not known yet).
    """

    id: str
    memory: int
    slots: int
    busy: int
    waiting: int
    prompt_tokens: int
    generated_tokens: int
    tokens_per_second: float


@dataclass(frozen=True)
class ModelLoad:
    """A chat model and what it can take on now. ``tag`` tells files of one name apart; ``bytes`` is
    the file's size; ``slots``, ``context``, ``busy`` and ``waiting`` are 0 while it isn't loaded.
    ``prefill`` and ``decode`` are tokens per second of one request, as measured (0: not yet).
    """

    id: str
    tag: str
    bytes: int
    state: str
    context: int
    slots: int
    busy: int
    waiting: int
    prefill: float
    decode: float
    pictures: bool


@dataclass(frozen=True)
class Load:
    """A node's chat models, and MiB of memory that could still be given to one."""

    free: int = 0
    models: tuple[ModelLoad, ...] = ()


@dataclass(frozen=True)
class NodeLoad:
    """What a peer last said of itself, ``age`` seconds ago."""

    id: str
    name: str
    age: float
    load: Load


@dataclass(frozen=True)
class Incoming:
    """A model file on its way in: ``offset`` of its ``bytes`` are here. ``sha256`` is empty when
    its sender didn't know it; ``touched`` is when something last came, in seconds since 1970;
    ``busy``: bytes are coming, or being checked, right now.
    """

    id: str
    name: str
    bytes: int
    offset: int
    sha256: str
    touched: int
    busy: bool


@dataclass(frozen=True)
class StickFile:
    """A model file on a stick, by its path there; ``reason`` says why it can't be brought in."""

    path: str
    bytes: int
    reason: str = ""


@dataclass(frozen=True)
class Stick:
    """A stick that is plugged in; ``label`` is what its owner called it."""

    id: str
    label: str
    files: tuple[StickFile, ...]


@dataclass(frozen=True)
class Import:
    """A model file on its way from a stick: ``offset`` of its ``bytes`` are here. ``state``:
    running, done or failed (then ``reason`` says why). ``id`` is its Incoming's.
    """

    id: str
    stick: str
    name: str
    bytes: int
    offset: int
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Remote:
    """A file of an offer: its path below the hub's address, the name it gets here, its size, and
    its SHA-256 unless no public listing states it (then empty).
    """

    path: str
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Offer:
    """A model of the catalog and what it would mean on this node, in numbers and ``words``.

    ``memory``, ``missing_memory`` and ``bytes`` (to download) are in bytes; ``tokens_per_second``
    is 0 for what doesn't write. ``usable``: this version of Goni has a use for it.
    """

    id: str
    title: str
    kind: str
    use: str
    source: str
    licence: str
    context: int
    memory: int
    bytes: int
    reads_pictures: bool
    here: bool
    usable: bool
    fits: bool
    missing_memory: int
    tokens_per_second: float
    words: str
    files: tuple[Remote, ...]


@dataclass(frozen=True)
class Count:
    """How many tokens a prompt has, and how many the model's context takes."""

    tokens: int
    context: int


@dataclass(frozen=True)
class Document:
    """A document in somebody's folder; ``name`` is its path there. ``state``: waiting (to be read
    for the first time), indexed or unreadable (then ``reason`` says why); ``modified`` in seconds
    since 1970.
    """

    name: str
    bytes: int
    sha256: str
    pages: int
    chunks: int
    state: str
    reason: str = ""
    modified: int = 0


@dataclass(frozen=True)
class Entry:
    """A file or folder (``kind``) as it lies on the disk; ``tag`` changes whenever a file's content
    does. ``state``, ``reason`` and ``pages`` are its document's, if it is one.
    """

    path: str
    kind: str
    bytes: int
    modified: int
    tag: str
    state: str = ""
    reason: str = ""
    pages: int = 0


@dataclass(frozen=True)
class Progress:
    """How far reading somebody's and the shared documents is: how many ``waiting`` to be read (of
    everybody: ``queue``), passages that wait to be found by their meaning, the paths being read
    now, documents read per minute, seconds until all is done (None: nobody knows yet), how many
    are ``unreadable``, and what keeps it from going on.
    """

    waiting: int
    queue: int
    pending: int
    reading: tuple[str, ...]
    per_minute: float
    seconds_left: int | None
    unreadable: int
    trouble: str = ""


@dataclass(frozen=True)
class Place:
    """Where else a passage stands: in whose document, on which page (0 when it has none)."""

    document: str
    page: int = 0
    owner: str = ""


@dataclass(frozen=True)
class Source:
    """A retrieved passage: where it stands (``page`` from 1, 0 when the format has none), its text,
    and whose it is; ``also``: the other documents that say the same.
    """

    document: str
    page: int
    heading: str
    text: str
    score: float
    owner: str = ""
    also: tuple[Place, ...] = ()


@dataclass(frozen=True)
class JoinOffer:
    """This node waits to be joined: what its screen shows, and for how long (seconds). ``words``
    appear once the other side knew the PIN, for people to compare. ``tries`` are left.
    """

    pin: str
    port: int
    seconds: int
    tries: int
    words: str = ""


@dataclass(frozen=True)
class MeshStatus:
    """This node in its household. ``state``: alone, member or removed; ``household`` is its name;
    ``offer`` is there while the node waits to be joined, ``words`` after it was in a pairing, for
    people to compare with the other node's.
    """

    state: str
    node: str
    name: str
    household: str
    nodes: int
    offer: JoinOffer | None = None
    inviting: bool = False
    words: str = ""
    version: str = ""


@dataclass(frozen=True)
class PeerState:
    """Another node of the household. ``seen`` is how many seconds ago it last answered, -1 for
    never; ``words`` say how it is or why it doesn't answer.
    """

    id: str
    name: str
    here: bool
    host: str
    port: int
    version: str
    seen: float
    words: str


@dataclass(frozen=True)
class Nearby:
    """A node that announces itself on the network; nothing of it is proved. ``state``: alone,
    waiting (for an owner who types its PIN), member, inviting. ``hint`` tells members of one
    household apart from others; ``port`` is the channel's.
    """

    id: str
    state: str
    hint: str
    version: str
    addresses: tuple[str, ...]
    port: int
    pairing_port: int


@dataclass(frozen=True)
class Recovery:
    """Whether the data partition can have a recovery key (``words`` say why not), and has one."""

    possible: bool
    enrolled: bool
    words: str = ""


@dataclass(frozen=True)
class Field:
    """A field of the roster: its value, who wrote it, and the values of edits beside it that
    nobody settled yet.
    """

    name: str
    value: Any
    author: str
    beside: tuple[Any, ...] = ()


def plain(value: Any) -> dict[str, Any]:
    """A contract dataclass as a JSON object."""
    return dataclasses.asdict(value)


def load_from(value: fields.Object) -> Load:
    """A :class:`Load` from another node's JSON; :class:`~goni_core.errors.BadInput` names the bad
    field.
    """
    models = fields.objects(value, "models", most=MOST_LOADS)
    return Load(
        fields.integer(value, "free", least=0, most=1 << 40),
        tuple(_model_load_from(one) for one in models),
    )


def _model_load_from(value: fields.Object) -> ModelLoad:
    def whole(name: str, most: int) -> int:
        return fields.integer(value, name, least=0, most=most)

    return ModelLoad(
        id=fields.text(value, "id", longest=300),
        tag=fields.text(value, "tag", longest=64),
        bytes=whole("bytes", MODEL_LIMIT),
        state=fields.text(value, "state", longest=20),
        context=whole("context", 1 << 31),
        slots=whole("slots", 1024),
        busy=whole("busy", 1024),
        waiting=whole("waiting", 1 << 20),
        prefill=fields.number(value, "prefill", least=0, most=1e9),
        decode=fields.number(value, "decode", least=0, most=1e9),
        pictures=fields.flag(value, "pictures"),
    )


def node_load_from(value: fields.Object) -> NodeLoad:
    """A :class:`NodeLoad` from goni-mesh's JSON."""
    load = fields.objects({"load": [value.get("load")]}, "load", most=1)[0]
    return NodeLoad(
        fields.text(value, "id", longest=64),
        fields.text(value, "name", longest=80),
        fields.number(value, "age", least=0, most=1e9),
        load_from(load),
    )


def source_from(value: fields.Object) -> Source:
    """A :class:`Source` from the other side's JSON."""
    return Source(
        document=fields.text(value, "document", longest=3000),
        page=fields.integer(value, "page", least=0, most=1 << 31, default=0),
        heading=fields.text(value, "heading", default=""),
        text=fields.text(value, "text", longest=100_000),
        score=float(value.get("score", 0.0)),
        owner=fields.text(value, "owner", default=""),
        also=tuple(
            Place(
                fields.text(one, "document", longest=3000),
                fields.integer(one, "page", least=0, most=1 << 31, default=0),
                fields.text(one, "owner", default=""),
            )
            for one in fields.objects({"also": value.get("also") or []}, "also", most=MOST_ALSO)
        ),
    )
