// The page "Models": what is here, what can be downloaded and what it would mean on this node,
// uploads that go on where they broke off. Text from outside only ever becomes text nodes.

import { $, call, fill, made, remover, row, say, size, wordsOf } from "/static/goni.js";

const PIECE = 64 << 20, TRIES = 8;
const owner = document.body.dataset.role === "owner";
const kinds = { chat: "answers", embedding: "finds passages", rerank: "sorts passages" };
const states = { available: "ready", loading: "being loaded", loaded: "loaded", unusable: "not usable" };
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

function button(words, label, action) {
  return made("button", { type: "button", className: "plain", ariaLabel: `${words}: ${label}`, onclick: action }, words);
}

function time(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} seconds left`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes left`;
  return `${(seconds / 3600).toFixed(1)} hours left`;
}

// --- what is here --------------------------------------------------------------------------

function ends(model) {
  const path = `/api/models/${encodeURIComponent(model.id)}`;
  const blind = model.pictures ? remover("Remove projector", model.id, `${path}.mmproj.gguf`, refresh) : "";
  return made("div", { className: "row" }, blind, remover("Delete", model.id, path, refresh));
}

async function showModels() {
  const { models } = await call("GET", "/api/models");
  fill(models.filter((model) => !model.node).map((model) => row(model.id,
    [kinds[model.kind] ?? model.kind, size(model.bytes), `context ${model.context.toLocaleString()} tokens`, model.pictures ? "reads pictures" : "", states[model.state] ?? model.state].filter(Boolean).join(" · "),
    model.reason, owner && model.id !== "all-MiniLM-L6-v2" ? ends(model) : null)), "No models yet.");
}

// --- the catalog and downloads -------------------------------------------------------------

let offers = [], polling = false;

// Those that this node has a use for.
async function offered() {
  return (await call("GET", "/api/catalog")).models.filter((offer) => offer.usable);
}

function progress(job) {
  const numbers = [job.bytes ? `${size(job.done_bytes)} of ${size(job.bytes)}` : size(job.done_bytes)];
  if (job.state === "running" && job.bytes_per_second) numbers.push(`${size(job.bytes_per_second)} a second`);
  if (job.state === "running" && job.seconds_left !== null) numbers.push(time(job.seconds_left));
  if (job.state !== "running") numbers.push({ queued: "waits for its turn", paused: "paused", failed: "stopped", done: "here" }[job.state]);
  return numbers.join(" · ");
}

function act(method, path) {
  return async () => {
    await call(method, path).then(() => say(""), (error) => say(error.message));
    await refresh();
  };
}

function controls(job, name) {
  const path = `/api/downloads/${job.id}`, buttons = [];
  if (job.state === "running" || job.state === "queued") buttons.push(button("Pause", name, act("POST", `${path}/pause`)));
  if (job.state === "paused") buttons.push(button("Resume", name, act("POST", `${path}/resume`)));
  if (job.state === "failed") buttons.push(button("Try again", name, act("POST", `${path}/resume`)));
  buttons.push(button(job.state === "failed" ? "Dismiss" : "Cancel", name, act("DELETE", path)));
  return buttons;
}

function jobView(job, name) {
  return [
    job.state === "failed" ? "" : made("progress", { max: job.bytes || 1, value: job.done_bytes, ariaLabel: `Download of ${name}` }),
    made("span", {}, progress(job)),
    job.reason ? made("span", { className: "bad" }, job.reason) : "",
  ];
}

function card(offer, job) {
  const facts = [size(offer.bytes), offer.reads_pictures ? "reads pictures" : "", `licence ${offer.licence}`].filter(Boolean).join(" · ");
  const what = made("div", { className: "what" },
    made("strong", {}, offer.title), made("span", { className: "use" }, offer.use), made("span", {}, facts),
    made("span", { className: offer.fits ? "verdict" : "verdict bad" }, offer.words),
    ...(job ? jobView(job, offer.title) : []));
  const end = job ? controls(job, offer.title)
    : offer.here ? [made("span", { className: "quiet" }, "is here")]
    : [made("button", { type: "button", disabled: !offer.fits, ariaLabel: `Download: ${offer.title}`, onclick: () => begin({ model: offer.id }) }, "Download")];
  return made("li", { className: "offer" }, what, made("div", { className: "row" }, ...end));
}

async function begin(wanted) {
  await call("POST", "/api/downloads", wanted).then(() => say(""), (error) => say(error.message));
  await refresh();
}

async function showOffers() {
  const { downloads, bytes_per_second: limit } = await call("GET", "/api/downloads");
  const open = downloads.filter((job) => job.state !== "done");
  const known = new Set(offers.map((offer) => offer.id));
  const others = open.filter((job) => !known.has(job.model)).map((job) => made("li", { className: "offer" },
    made("div", { className: "what" }, made("strong", {}, job.title), ...jobView(job, job.title)),
    made("div", { className: "row" }, ...controls(job, job.title))));
  const focus = document.activeElement?.ariaLabel;
  $("catalog").replaceChildren(...others, ...offers.map((offer) => card(offer, open.find((job) => job.model === offer.id))));
  if (focus) [...$("catalog").querySelectorAll("button")].find((one) => one.ariaLabel === focus)?.focus();
  if (document.activeElement !== $("rate")) $("rate").value = String(limit);
  return open.some((job) => job.state === "running" || job.state === "queued");
}

async function poll() {
  if (polling) return;
  polling = true;
  try {
    while (await showOffers()) await pause(1);
  } finally { polling = false; }
  offers = await offered();
  await Promise.all([showOffers(), showModels()]);
}

// --- uploads -------------------------------------------------------------------------------

// The same file chosen again, in whatever window, has the same mark.
async function mark(file) {
  const words = `${file.name}|${file.size}|${file.lastModified}|`;
  const bytes = await new Blob([words, file.slice(0, 1 << 20), file.slice(-(1 << 20))]).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function patch(path, offset, piece, upload) {
  return new Promise((resolve, reject) => {
    const request = upload.request = new XMLHttpRequest();
    request.open("PATCH", path);
    request.setRequestHeader("Upload-Offset", String(offset));
    request.upload.onprogress = ({ loaded }) => upload.show(offset + loaded);
    request.onload = () => {
      let body = null;
      try { body = JSON.parse(request.responseText); } catch { /* said below */ }
      if (request.status < 300) resolve(body);
      else reject(Object.assign(new Error(wordsOf(body, request.status)), { status: request.status, code: body?.error?.code }));
    };
    request.onerror = request.onabort = () => reject(Object.assign(new Error("The connection broke."), { status: 0 }));
    request.send(piece);
  });
}

async function settled(path) {
  for (;;) {
    const state = await call("GET", path);
    if (!state.busy) return state.offset;
    await pause(0.3);
  }
}

// Sends the file to its end, or until it is paused; what breaks on the way is tried again.
async function send(file, upload) {
  const { id, offset: start } = await call("POST", "/api/incoming", { name: file.name, bytes: file.size, tag: await mark(file) });
  upload.path = `/api/incoming/${id}`;
  let offset = start, tries = 0;
  while (!upload.paused) {
    try {
      const said = await patch(upload.path, offset, file.slice(offset, offset + PIECE), upload);
      offset = said.offset; tries = 0;
      upload.show(offset);
      if (said.complete) return true;
    } catch (error) {
      const passing = error.status === 0 || error.status === 503 || error.code === "busy" || error.code === "wrong_offset";
      if (upload.paused) break;
      if (!passing || tries === TRIES) throw error;
      tries += 1;
      upload.say("The connection broke; trying again…");
      await pause(tries);
      offset = await settled(upload.path).catch(() => offset);
    }
  }
  return false;
}

function transfer(file) {
  const bar = made("progress", { max: file.size, ariaLabel: `Upload of ${file.name}` }), note = made("span", {}, "Starting…");
  const ends = made("div", { className: "row" });
  const line = made("li", {}, made("div", { className: "what" }, made("strong", {}, file.name), bar, note), ends);
  const upload = {
    paused: false,
    show(done) {
      bar.value = done;
      note.textContent = done < file.size ? `${size(done)} of ${size(file.size)}` : "Received; being checked…";
    },
    say(text) { note.textContent = text; },
  };
  const hold = () => { upload.paused = true; upload.request?.abort(); };
  async function run() {
    upload.paused = false;
    ends.replaceChildren(button("Pause", file.name, hold), button("Cancel", file.name, cancel));
    try {
      if (await send(file, upload)) { line.remove(); say(`${file.name} is here.`); await refresh(); return; }
      upload.say("Paused.");
      ends.replaceChildren(button("Resume", file.name, run), button("Cancel", file.name, cancel));
    } catch (error) {
      bar.remove();
      note.className = "bad"; note.textContent = error.message;
      ends.replaceChildren(button("Dismiss", file.name, () => line.remove()));
      await refresh();
    }
  }
  async function cancel() {
    hold();
    if (upload.path) {
      await settled(upload.path).catch(() => {});
      await call("DELETE", upload.path).catch((error) => say(error.message));
    }
    line.remove();
  }
  $("transfers").append(line);
  return run();
}

async function showUnfinished() {
  const { incoming } = await call("GET", "/api/incoming");
  const shown = new Set([...$("transfers").querySelectorAll("strong")].map((one) => one.textContent));
  const rows = incoming.filter((one) => !one.sha256 && !shown.has(one.name)).map((one) => row(one.name,
    `${size(one.offset)} of ${size(one.bytes)} are here. Choose the same file again to go on.`, "",
    remover("Remove", one.name, `/api/incoming/${one.id}`, refresh)));
  $("unfinished").replaceChildren(...rows);
}

// --- the page ------------------------------------------------------------------------------

async function refresh() {
  await showModels();
  if (!owner) return;
  await showUnfinished();
  poll().catch((error) => say(error.message));
}

if (owner) {
  document.addEventListener("models", () => refresh().catch((error) => say(error.message)));
  const form = $("upload");
  const add = async (files) => { for (const file of files) await transfer(file); };
  $("files").onchange = async () => { const files = [...$("files").files]; $("files").value = ""; await add(files); };
  form.ondragover = (event) => { event.preventDefault(); form.classList.add("over"); };
  form.ondragleave = () => form.classList.remove("over");
  form.ondrop = (event) => { event.preventDefault(); form.classList.remove("over"); add([...event.dataTransfer.files]); };
  form.onsubmit = (event) => event.preventDefault();
  $("rate").onchange = () => call("PUT", "/api/downloads/limit", { bytes_per_second: Number($("rate").value) }).catch((error) => say(error.message));
  $("other").onsubmit = async (event) => {
    event.preventDefault();
    await begin({ repo: $("repo").value.trim(), file: $("file").value.trim() });
  };
  offered().then((found) => { offers = found; return refresh(); }).catch((error) => say(error.message));
} else refresh().catch((error) => say(error.message));
