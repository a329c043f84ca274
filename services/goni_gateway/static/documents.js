// The page "Documents": folders, uploads, plain search and how far reading is. Text from outside
// only ever becomes text nodes.

import { $, call, fill, made, marked, row, say, size, wordsOf } from "/static/goni.js";

const LOOK_MS = 4000;
const states = { waiting: "waiting to be read", indexed: "searchable", unreadable: "not readable" };
const whose = {
  private: "Only you see these, and only your questions are answered from them.",
  shared: "Everybody in the house sees and changes these, and all questions are answered from them.",
};
let space = "private", folder = "", showing = "";

const leaf = (path) => path.slice(path.lastIndexOf("/") + 1);
const inside = (name) => (folder ? `${folder}/${name}` : name);
const encoded = (path) => path.split("/").map(encodeURIComponent).join("/");
const query = (values) => new URLSearchParams({ space, ...values }).toString();
const date = (seconds) => new Date(seconds * 1000).toLocaleDateString(undefined, { dateStyle: "medium" });

function button(words, label, action) {
  const act = () => action().catch((error) => say(error.message));
  return made("button", { type: "button", className: "plain", ariaLabel: `${words}: ${label}`, onclick: act }, words);
}

// --- folders -------------------------------------------------------------------------------

async function rename(path) {
  const name = prompt("New name:", leaf(path));
  if (!name || name === leaf(path)) return;
  await call("POST", "/api/move", { space, path, to: inside(name), to_space: space });
  say(""); await refresh();
}

async function pass(path) {
  const to_space = space === "private" ? "shared" : "private";
  const words = to_space === "shared" ? "everybody in the house will see it" : "only you will see it";
  if (!confirm(`Move “${leaf(path)}”? From then on ${words}.`)) return;
  await call("POST", "/api/move", { space, path, to: leaf(path), to_space });
  say(`${leaf(path)} is in the other folder now.`); await refresh();
}

async function drop(path, kind) {
  const what = kind === "folder" ? `the folder “${leaf(path)}” and all that is in it` : `“${leaf(path)}”`;
  if (!confirm(`Delete ${what}?`)) return;
  await call("DELETE", `/api/documents?${query({ path })}`);
  say(""); await refresh();
}

function actions(path, kind) {
  const other = space === "private" ? "Share" : "Make mine";
  return made("div", { className: "row tight" }, button("Rename", leaf(path), () => rename(path)),
    button(other, leaf(path), () => pass(path)), button("Delete", leaf(path), () => drop(path, kind)));
}

function line({ path, kind, bytes, modified, state, reason, pages }) {
  const bad = state === "unreadable" ? `Not readable: ${reason}` : "";
  const title = kind === "folder"
    ? made("button", { type: "button", className: "link", onclick: () => open(space, path) }, `${leaf(path)}/`)
    : made("a", { href: `/api/files?${query({ path })}`, download: leaf(path) }, leaf(path));
  const details = kind === "folder" ? ["folder"] : [size(bytes), date(modified),
    pages ? `${pages} page${pages > 1 ? "s" : ""}` : "", bad ? "" : states[state] ?? "", bad ? "" : reason];
  const item = row(title, details.filter(Boolean).join(" · "), bad, actions(path, kind));
  item.className = kind;
  return item;
}

function trail() {
  const parts = folder ? folder.split("/") : [];
  const step = (words, to) => made("button", { type: "button", className: "link", onclick: () => open(space, to) }, words);
  const links = parts.map((part, n) => step(part, parts.slice(0, n + 1).join("/")));
  $("path").replaceChildren(step(space === "private" ? "Mine" : "Shared", ""),
    ...links.flatMap((link) => [made("span", {}, "›"), link]));
}

async function refresh() {
  const { entries, more } = await call("GET", `/api/folder?${query({ path: folder })}`);
  const seen = JSON.stringify([space, folder, entries]);
  if (seen !== showing) fill(entries.map(line), folder ? "This folder is empty." : "No documents yet.");
  if (more) $("list").append(made("li", { className: "quiet" }, "There is more in this folder; search for it."));
  showing = seen;
  await showProgress();
}

async function open(to, path) {
  [space, folder, showing] = [to, path, ""];
  for (const name of ["private", "shared"]) $(name).ariaPressed = String(name === space);
  $("whose").textContent = whose[space];
  trail();
  await refresh().catch((error) => say(error.message));
}

async function newFolder() {
  const name = prompt("Name of the new folder:");
  if (!name) return;
  await call("POST", "/api/folder", { space, path: inside(name) });
  await refresh();
}

// --- how far it is -------------------------------------------------------------------------

function left(seconds) {
  if (seconds === null) return "";
  return seconds < 90 ? `, about ${Math.max(1, seconds)} seconds left` : `, about ${Math.round(seconds / 60)} minutes left`;
}

async function showProgress() {
  const { waiting, reading, pending, seconds_left, unreadable, trouble } = await call("GET", "/api/progress");
  const words = [trouble];
  if (waiting) words.push(`${waiting} document${waiting > 1 ? "s wait" : " waits"} to be read${left(seconds_left)}`);
  if (reading.length) words.push(`reading ${leaf(reading[0])}`);
  if (!waiting && pending) words.push("found by words already; being learnt by meaning");
  $("progress").textContent = words.filter(Boolean).join(" · ");
  const box = $("unreadable");
  box.hidden = !unreadable;
  box.querySelector("summary").textContent = `${unreadable} of your and the shared documents can't be read`;
}

async function showUnreadable() {
  if (!$("unreadable").open) return;
  const lists = await Promise.all(["private", "shared"].map((whose) =>
    call("GET", `/api/documents?${new URLSearchParams({ space: whose, state: "unreadable" })}`)));
  const items = lists.flatMap(({ documents }) => documents.map((file) => row(file.name, "", file.reason, null)));
  $("unreadable").querySelector("ul").replaceChildren(...items);
}

// --- uploads -------------------------------------------------------------------------------

function send(path, file, item) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(), bar = item.querySelector("progress"), note = item.querySelector("span");
    request.open("PUT", path);
    request.upload.onprogress = ({ loaded, total }) => {
      bar.max = total; bar.value = loaded;
      note.textContent = loaded < total ? `${size(loaded)} of ${size(total)}` : "Received; being read…";
      if (loaded === total) bar.removeAttribute("value");
    };
    request.onload = () => {
      let body = null;
      try { body = JSON.parse(request.responseText); } catch { /* said below */ }
      if (request.status < 300) resolve(body);
      else reject(new Error(wordsOf(body, request.status)));
    };
    request.onerror = () => reject(new Error("The connection broke during the upload; nothing was kept."));
    request.send(file);
  });
}

async function upload(file, path) {
  const item = made("li", {}, made("div", { className: "what" }, made("strong", {}, path),
    made("progress", { ariaLabel: `Upload of ${path}` }), made("span", {}, "Starting…")));
  $("transfers").append(item);
  try {
    await send(`/api/documents/${encoded(inside(path))}?${query({})}`, file, item);
    item.remove(); say(`${leaf(path)} is here.`);
  } catch (error) {
    item.querySelector("progress").remove();
    item.querySelector("span").className = "bad"; item.querySelector("span").textContent = error.message;
    item.append(made("button", { type: "button", className: "plain", onclick: () => item.remove() }, "Dismiss"));
  }
}

async function add(files) {
  for (const [file, path] of files) {
    await upload(file, path);
    await refresh().catch((error) => say(error.message));
  }
}

// Files of a dropped folder, with their paths (https://wicg.github.io/entries-api/).
async function* filesOf(entry, above) {
  const path = above + entry.name;
  if (entry.isFile) { yield [await new Promise((done, fail) => entry.file(done, fail)), path]; return; }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return;
    for (const one of some) yield* filesOf(one, `${path}/`);
  }
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) { await add([...transfer.files].map((file) => [file, file.name])); return; }
  for (const entry of entries) for await (const file of filesOf(entry, "")) if (!leaf(file[1]).startsWith(".")) await add([file]);
}

// --- search --------------------------------------------------------------------------------

function passage({ document: path, page, heading, text, also }, words) {
  const others = also?.length ? `also in ${also.map((one) => one.document).join(", ")}` : "";
  const where = [page ? `page ${page}` : "", heading, others].filter(Boolean).join(" · ");
  return made("li", {}, made("div", { className: "what" }, made("strong", {}, path), made("span", {}, where),
    made("blockquote", {}, ...marked(text, words))));
}

// Days as the person sees them, here; the last one whole.
function moment(day, days = 0) {
  const [year, month, date] = day.split("-").map(Number);
  return Math.max(0, Math.floor(new Date(year, month - 1, date + days) / 1000) - (days ? 1 : 0));
}

function filters() {
  const given = (id) => $(id).value.trim();
  return {
    ...(given("only-space") && { space: given("only-space") }),
    ...(given("only-type") && { types: [given("only-type")] }),
    ...(given("only-folder") && { folder: given("only-folder") }),
    ...(given("only-since") && { since: moment(given("only-since")) }),
    ...(given("only-until") && { until: moment(given("only-until"), 1) }),
  };
}

async function search(event) {
  event.preventDefault();
  const words = $("query").value.trim();
  if (!words) return;
  $("found").hidden = false; $("browse").hidden = true;
  $("found-words").textContent = "Searching…"; $("passages").replaceChildren();
  try {
    const { sources, found } = await call("POST", "/api/search", { query: words, k: 20, ...filters() });
    $("passages").replaceChildren(...sources.map((source) => passage(source, words)));
    const count = `${sources.length} passage${sources.length > 1 ? "s" : ""}`;
    const unsure = sources.length ? "The documents don't seem to say. Nearest to the question:" : "The documents don't say.";
    $("found-words").textContent = found ? count : unsure;
  } catch (error) { $("found-words").textContent = error.message; }
}

const form = $("upload");
$("files").onchange = async () => { const files = [...$("files").files]; $("files").value = ""; await add(files.map((file) => [file, file.name])); };
form.ondragover = (event) => { event.preventDefault(); form.classList.add("over"); };
form.ondragleave = () => form.classList.remove("over");
form.ondrop = (event) => { event.preventDefault(); form.classList.remove("over"); dropped(event.dataTransfer).catch((error) => say(error.message)); };
form.onsubmit = (event) => event.preventDefault();
$("private").onclick = () => open("private", "");
$("shared").onclick = () => open("shared", "");
$("new-folder").onclick = () => newFolder().catch((error) => say(error.message));
$("search").onsubmit = search;
$("close-found").onclick = () => { $("found").hidden = true; $("browse").hidden = false; $("query").focus(); };
$("unreadable").ontoggle = () => showUnreadable().catch((error) => say(error.message));
open("private", "");
setInterval(() => { if (!document.hidden && !$("browse").hidden) refresh().catch(() => {}); }, LOOK_MS);
