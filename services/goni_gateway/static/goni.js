// The pages' one script: fills the frames that the gateway renders, through /api. Text from
// outside only ever becomes text nodes, never markup.

import { tray } from "./pictures.js";

export { $, call, fill, made, marked, remover, row, say, size, wordsOf }; // for pages with a script of their own

const $ = (id) => document.getElementById(id);
const page = document.body.dataset.page;

function made(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function say(text) {
  $("status").textContent = text;
}

function wordsOf(body, status) {
  const error = body?.error;
  if (!error) return `That did not work (${status}).`;
  return error.hint ? `${sentence(error.message)} ${sentence(error.hint)}` : sentence(error.message);
}

function sentence(text) {
  const words = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(words) ? words : words + ".";
}

async function call(method, path, value) {
  const request = { method, headers: {} };
  if (value !== undefined) {
    request.body = JSON.stringify(value);
    request.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Error("The node does not answer. Is it switched on?");
  }
  if (response.status === 401 && page !== "sign-in") location.assign("/sign-in");
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Error(wordsOf(body, response.status));
  return body;
}

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let value = bytes, unit = 0;
  while (value >= 1000 && unit < 3) { value /= 1000; unit += 1; }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function day(seconds) {
  return new Date(seconds * 1000).toLocaleDateString(undefined, { dateStyle: "medium" });
}

// ``text`` with the telling words of a question marked in it.
function marked(text, question) {
  const words = question.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? [];
  if (!words.length) return [text];
  const any = new RegExp(`(${words.map((word) => word.slice(0, Math.max(3, word.length - 2))).join("|")})([\\p{L}\\p{N}]*)`, "giu");
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(any)) {
    if (/[\p{L}\p{N}]/u.test(text[found.index - 1] ?? "")) continue;
    parts.push(text.slice(at, found.index), made("mark", {}, found[0]));
    at = found.index + found[0].length;
  }
  return [...parts, text.slice(at)];
}

// --- answers -------------------------------------------------------------------------------

function inline(text) {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((part) => {
    if (part.length > 2 && part.startsWith("`")) return made("code", {}, part.slice(1, -1));
    if (part.length > 4 && part.startsWith("**")) return made("strong", {}, part.slice(2, -2));
    return part;
  });
}

function block(text) {
  const lines = text.split("\n");
  if (lines.every((line) => /^\s*[-*•]\s+/.test(line)))
    return made("ul", {}, ...lines.map((line) => made("li", {}, ...inline(line.replace(/^\s*[-*•]\s+/, "")))));
  if (lines.every((line) => /^\s*\d+[.)]\s+/.test(line)))
    return made("ol", {}, ...lines.map((line) => made("li", {}, ...inline(line.replace(/^\s*\d+[.)]\s+/, "")))));
  const heading = /^#{1,6}\s+(.*)$/.exec(text);
  if (heading) return made("h2", {}, ...inline(heading[1]));
  const broken = lines.flatMap((line, n) => (n ? [made("br"), ...inline(line)] : inline(line)));
  return made("p", {}, ...broken);
}

// The little Markdown that models write most: paragraphs, lists, headings, code, bold.
function rendered(text) {
  return text.split(/(^```[^\n]*\n[\s\S]*?(?:^```[ \t]*$|$(?![\s\S])))/m).flatMap((part) => {
    if (part.startsWith("```"))
      return [made("pre", {}, made("code", {}, part.replace(/^```[^\n]*\n/, "").replace(/\n?```[ \t]*$/, "")))];
    return part.split(/\n{2,}/).map((text) => text.replace(/^\n+|\n+$/g, "")).filter(Boolean).map(block);
  });
}

// A source opens to its passage, the quoted words marked in it, and from there to the file.
function sourceList(sources, citations, title = "Sources") {
  const items = sources.map(({ n, space, document: file, page: number, heading, quote }) => {
    const said = citations.filter((citation) => citation.n === n && citation.quote).map(({ quote }) => quote);
    const quotes = said.length ? [...new Set(said)] : [quote];
    const link = `/api/files?${new URLSearchParams({ space: space ?? "private", path: file })}`;
    return made("li", {}, made("details", {},
      made("summary", {}, `[${n}] ${file}${number ? `, page ${number}` : ""}`),
      made("blockquote", {}, heading ? made("strong", {}, `${heading} `) : "", quotes.join(" … ")),
      made("p", {}, made("a", { href: link, download: file.slice(file.lastIndexOf("/") + 1) }, "Get the file"))));
  });
  return made("div", { className: "sources" }, made("h2", {}, title), made("ol", {}, ...items));
}

function extras(goni, stopped, silent) {
  const notes = [silent ? "The model ended without saying anything. Ask again, or in other words." : "",
    ...(goni?.notes ?? []), goni?.context_cut?.words, stopped ? "Stopped before the end." : ""];
  if (goni?.abstained) notes.push("Your documents don't seem to contain this.");
  const unsupported = (goni?.citations ?? []).filter(({ quote }) => !quote);
  if (unsupported.length) notes.push("Not everything in this answer is in the sources that it names.");
  const found = goni?.sources?.length ? [sourceList(goni.sources, goni.citations ?? [])] : [];
  if (goni?.nearest?.length) found.push(sourceList(goni.nearest, [], "Nearest to the question"));
  return [...notes.filter(Boolean).map((note) => made("p", { className: "note" }, note)), ...found];
}

function answerView(text, goni, stopped) {
  const body = made("div", { className: "text" }, ...rendered(text));
  return made("article", { className: "answer", ariaLabel: "Answer" }, body, ...extras(goni, stopped, goni && !text.trim()));
}

function questionView(text, pictures) {
  const shown = pictures.map((src, place) => made("img", { src, alt: `Picture ${place + 1} of the question` }));
  return made("div", { className: "question" }, made("p", {}, made("span", { className: "hidden" }, "You asked: "), text),
    shown.length ? made("div", { className: "shown" }, ...shown) : "");
}

// --- chat ----------------------------------------------------------------------------------

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    waiting += value;
    const parts = waiting.split("\n\n");
    waiting = parts.pop();
    for (const part of parts)
      if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
  }
}

function chatPage() {
  let current = null, running = null;
  const log = $("log"), question = $("question");
  const reading = new Set(); // the models that read pictures
  const pictures = tray({ button: $("attach"), input: $("picture-files"), list: $("pictures"), form: $("ask"), say });

  function atBottom() { return log.scrollHeight - log.scrollTop - log.clientHeight < 80; }
  function toBottom() { log.scrollTop = log.scrollHeight; }
  function welcome() { $("welcome").hidden = log.childElementCount > 0; }
  function grow() { question.style.height = "auto"; question.style.height = `${question.scrollHeight + 2}px`; }
  function busy(on) { $("stop").hidden = !on; $("send").hidden = on; }

  async function showModels() {
    const { models } = await call("GET", "/api/models");
    const usable = models.filter((model) => model.kind === "chat");
    $("model").replaceChildren(...usable.map((model) =>
      made("option", { value: model.id, disabled: model.state === "unusable" }, model.id)));
    const last = localStorage.getItem("model");
    if (usable.some((model) => model.id === last)) $("model").value = last;
    for (const model of usable) if (model.pictures) reading.add(model.id);
    pictures.allow(reading.has($("model").value));
    $("send").disabled = usable.length === 0;
    if (!usable.length)
      $("status").replaceChildren("There is no chat model yet. ", made("a", { href: "/models" }, "Add one"), ".");
  }

  async function showChats() {
    const { chats } = await call("GET", "/api/chats");
    $("chat-list").replaceChildren(...chats.map(({ id, title }) => {
      const open = made("button", { type: "button", className: "open", onclick: () => show(id) }, title);
      if (id === current) open.setAttribute("aria-current", "true");
      const remove = made("button", { type: "button", className: "plain remove", ariaLabel: `Delete chat: ${title}`, onclick: () => drop(id) }, "✕");
      return made("li", { className: id === current ? "current" : "" }, open, remove);
    }));
  }

  async function show(id) {
    running?.abort();
    current = id;
    history.replaceState(null, "", id ? `#${id}` : location.pathname);
    const messages = id ? (await call("GET", `/api/chats/${id}`)).messages : [];
    log.replaceChildren(...messages.map((message) => message.role === "user"
      ? questionView(message.content, message.pictures.map((picture) => `/api/chats/${id}/pictures/${picture}`)) : answerView(message.content, message.goni, message.stopped)));
    document.querySelector(".chats").classList.remove("open");
    $("show-chats").ariaExpanded = "false";
    welcome(); toBottom(); question.focus();
    await showChats();
  }

  async function drop(id) {
    if (!confirm("Delete this chat?")) return;
    await call("DELETE", `/api/chats/${id}`);
    await (id === current ? show(null) : showChats());
  }

  async function answered(text, shown, view) {
    const body = view.firstChild;
    running = new AbortController();
    const response = await fetch(`/api/chats/${current}/messages`, {
      method: "POST", signal: running.signal, headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ model: $("model").value, content: text, documents: $("documents").checked, pictures: shown }),
    });
    if (!response.ok) throw new Error(wordsOf(await response.json().catch(() => null), response.status));
    let whole = "", goni = null, painting = false, done = false;
    const paint = () => { painting = false; const follow = atBottom(); body.replaceChildren(...rendered(whole)); if (follow) toBottom(); };
    try {
      for await (const chunk of events(response)) {
        if (chunk.error) throw new Error(wordsOf(chunk, 500));
        goni = chunk.goni ?? goni;
        whole += chunk.choices?.[0]?.delta?.content ?? "";
        if (!painting) { painting = true; requestAnimationFrame(paint); }
      }
      done = true;
    } finally {
      paint();
      view.append(...extras(goni, running.signal.aborted, done && !whole.trim()));
      if (atBottom()) toBottom();
    }
  }

  async function ask(event) {
    event.preventDefault();
    const text = question.value.trim();
    if (!text || running || $("send").disabled) return;
    localStorage.setItem("model", $("model").value);
    const view = answerView("", null, false), shown = pictures.take();
    view.ariaBusy = "true";
    busy(true);
    try {
      current ??= (await call("POST", "/api/chats")).id;
      log.append(questionView(text, shown), view);
      question.value = ""; grow(); welcome(); toBottom(); say("Looking and thinking…");
      await answered(text, shown, view);
      say("");
    } catch (error) {
      const stopped = error.name === "AbortError";
      say(stopped ? "Stopped." : error.message);
      if (stopped) await new Promise((done) => setTimeout(done, 400)); // the node is keeping it
      if (!view.firstChild?.hasChildNodes()) {
        view.previousSibling?.remove(); view.remove();
        question.value ||= text; grow(); pictures.give(shown);
      }
    } finally {
      running = null; busy(false); view.ariaBusy = "false"; welcome();
      if (view.isConnected) history.replaceState(null, "", `#${current}`);
      await showChats().catch(() => {});
    }
  }

  $("ask").onsubmit = ask;
  $("model").onchange = () => pictures.allow(reading.has($("model").value));
  $("stop").onclick = () => { running?.abort(); question.focus(); };
  $("new-chat").onclick = () => show(null);
  $("show-chats").onclick = () => {
    $("show-chats").ariaExpanded = String(document.querySelector(".chats").classList.toggle("open"));
  };
  question.oninput = grow;
  question.onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("ask").requestSubmit(); }
  };
  showModels().catch((error) => say(error.message));
  const wanted = /^#[0-9a-f]+$/.test(location.hash) ? location.hash.slice(1) : null;
  show(wanted).catch(() => show(null)).catch((error) => say(error.message));
}

// --- keys -------------------------------------------------------------------------

function row(title, details, bad, button) {
  const what = made("div", { className: "what" }, made("strong", {}, title), made("span", {}, details),
    bad ? made("span", { className: "bad" }, bad) : "");
  return made("li", {}, what, button ?? "");
}

function remover(words, label, path, refresh) {
  return made("button", { type: "button", className: "plain", ariaLabel: `${words}: ${label}`, onclick: async () => {
    if (!confirm(`${words} “${label}”?`)) return;
    await call("DELETE", path).then(() => say(""), (error) => say(error.message));
    await refresh();
  } }, words);
}

function fill(rows, empty) {
  $("list").replaceChildren(...rows);
  if (!rows.length) $("list").append(made("li", { className: "quiet" }, empty));
}

function keysPage() {
  const refresh = async () => {
    const { keys } = await call("GET", "/api/keys");
    fill(keys.map((key) => row(key.name, `made ${day(key.created)}`, "",
      remover("Revoke", key.name, `/api/keys/${key.id}`, refresh))), "No keys yet.");
  };
  $("new-key").onsubmit = async (event) => {
    event.preventDefault();
    $("error").textContent = "";
    try {
      const key = await call("POST", "/api/keys", { name: $("name").value });
      $("secret").textContent = key.key; $("made").hidden = false; $("name").value = "";
      await refresh();
    } catch (error) { $("error").textContent = error.message; }
  };
  $("copy").onclick = async () => {
    await navigator.clipboard.writeText($("secret").textContent);
    $("copy").textContent = "Copied";
  };
  refresh().catch((error) => say(error.message));
  if ($("new-origin")) originsList();
}

function originsList() {
  const refresh = async () => {
    const { origins } = await call("GET", "/api/origins");
    $("origins").replaceChildren(...origins.map(({ origin, created }) => row(origin, `open since ${day(created)}`, "",
      made("button", { type: "button", className: "plain", ariaLabel: `Close: ${origin}`, onclick: async () => {
        await call("POST", "/api/origins/close", { origin }).catch((error) => say(error.message));
        await refresh();
      } }, "Close"))));
  };
  $("new-origin").onsubmit = async (event) => {
    event.preventDefault();
    $("origin-error").textContent = "";
    try {
      await call("POST", "/api/origins", { origin: $("origin").value });
      $("origin").value = "";
      await refresh();
    } catch (error) { $("origin-error").textContent = error.message; }
  };
  refresh().catch((error) => say(error.message));
}

function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function invitationShown({ code, name }) {
  $("for").textContent = name;
  $("link").textContent = `${location.origin}/join#${code}`;
  $("made").hidden = false;
}

function peoplePage() {
  const showSignIns = async () => {
    const { sign_ins } = await call("GET", "/api/sign-ins");
    $("sign-ins").replaceChildren(...sign_ins.map((entry) => row(moment(entry.at),
      `from ${entry.address}`, entry.succeeded ? "" : "Refused: wrong password")));
  };
  $("new-password").onsubmit = async (event) => {
    event.preventDefault();
    $("password-error").textContent = "";
    try {
      await call("POST", "/api/password", { old: $("old").value, new: $("new").value });
      $("new-password").reset(); say("Your password is changed; other browsers are signed out.");
    } catch (error) { $("password-error").textContent = error.message; }
  };
  showSignIns().catch((error) => say(error.message));
  if (document.body.dataset.role === "owner") household();
}

function household() {
  const act = (words, label, work) => made("button", { type: "button", className: "plain", ariaLabel: `${words}: ${label}`,
    onclick: () => work().catch((error) => say(error.message)) }, words);
  const reset = async (person) => invitationShown(await call("POST", `/api/people/${person.id}/reset`));
  const remove = async (person) => {
    const name = prompt(`This deletes ${person.name}'s chats, keys and documents for good. To go on, type their name:`);
    if (name === null) return;
    await call("POST", `/api/people/${person.id}/remove`, { name });
    say(`${person.name} is removed.`);
    await refresh();
  };
  const signIns = async (person) => {
    const { sign_ins } = await call("GET", `/api/people/${person.id}/sign-ins`);
    const last = sign_ins.find((entry) => entry.succeeded);
    const refused = sign_ins.filter((entry) => !entry.succeeded).length;
    say(`${person.name}: ${last ? `last signed in ${moment(last.at)} from ${last.address}` : "never signed in"}; ${refused} refused.`);
  };
  const refresh = async () => {
    const { people, invitations } = await call("GET", "/api/people");
    fill([
      ...people.map((person) => row(person.name, `${person.role}, since ${day(person.created)}`,
        person.locked ? "Locked out; not all documents could be deleted yet. Remove again." : "",
        made("div", { className: "row" }, act("Sign-ins", person.name, () => signIns(person)),
          act("New password", person.name, () => reset(person)), act("Remove", person.name, () => remove(person))))),
      ...invitations.map((open) => row(open.name, `invited; the link works until ${day(open.expires)}`, "",
        remover("Withdraw", open.name, `/api/invitations/${open.id}`, refresh))),
    ], "Nobody yet.");
  };
  $("invite").onsubmit = async (event) => {
    event.preventDefault();
    $("error").textContent = "";
    try {
      invitationShown(await call("POST", "/api/people", { name: $("name").value, role: $("role").value }));
      $("name").value = "";
      await refresh();
    } catch (error) { $("error").textContent = error.message; }
  };
  $("copy").onclick = async () => {
    await navigator.clipboard.writeText($("link").textContent);
    $("copy").textContent = "Copied";
  };
  refresh().catch((error) => say(error.message));
}

function joinPage() {
  const code = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  call("POST", "/api/invitation", { code: code || "-" }).then((invitation) => {
    $("who").textContent = invitation.new ? `Welcome, ${invitation.name}. Choose a password.`
      : `${invitation.name}, choose a new password.`;
    $("name").value = invitation.name;
    $("join").hidden = false;
    $("password").focus();
  }, (error) => { $("who").textContent = error.message; });
  $("join").onsubmit = async (event) => {
    event.preventDefault();
    $("error").textContent = "";
    try {
      await call("POST", "/api/join", { code, password: $("password").value });
      location.assign("/");
    } catch (error) { $("error").textContent = error.message; }
  };
}

function signInPage() {
  $("sign-in").onsubmit = async (event) => {
    event.preventDefault();
    $("error").textContent = "";
    try {
      await call("POST", "/api/sign-in", { name: $("name").value, password: $("password").value });
      location.assign("/");
    } catch (error) {
      $("error").textContent = error.message;
      $("password").select();
    }
  };
}

if ($("sign-out")) $("sign-out").onclick = () => call("POST", "/api/sign-out").finally(() => location.assign("/sign-in"));
({ "sign-in": signInPage, chat: chatPage, keys: keysPage, people: peoplePage, join: joinPage })[page]?.();
