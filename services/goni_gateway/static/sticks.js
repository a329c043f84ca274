// The page "Models", its part about sticks: what is on those that are plugged into the node, and
// bringing it in. Looks again every few seconds while the page is seen.

import { $, call, made, say, size } from "/static/goni.js";

const LOOK_S = 3;
const running = new Set(); // imports that this page has begun or seen running
let shown = ""; // what the list was made of: a list that is made anew under a finger swallows its click

function button(words, label, action) {
  return made("button", { type: "button", className: "plain", ariaLabel: `${words}: ${label}`,
    onclick: () => action().then(() => look(), (error) => say(error.message)) }, words);
}

function fileView(stick, file) {
  const name = file.path.split("/").pop(), folder = file.path.slice(0, -name.length);
  return made("li", {},
    made("div", { className: "what" }, made("strong", {}, name),
      made("span", {}, [stick.label, folder, size(file.bytes)].filter(Boolean).join(" · ")),
      file.reason ? made("span", { className: "bad" }, file.reason) : ""),
    file.reason ? "" : button("Bring in", name, () => begin(stick, file)));
}

// It may be done before anybody looks.
async function begin(stick, file) {
  running.add((await call("POST", "/api/sticks/imports", { stick: stick.id, path: file.path })).id);
}

function importView(one) {
  const path = `/api/sticks/imports/${one.id}`, failed = one.state === "failed";
  const words = one.offset < one.bytes ? `${size(one.offset)} of ${size(one.bytes)}` : "All is here; being checked…";
  return made("li", { className: "offer" },
    made("div", { className: "what" }, made("strong", {}, one.name),
      failed ? made("span", { className: "bad" }, one.reason)
        : made("progress", { max: one.bytes, value: one.offset, ariaLabel: `Import of ${one.name}` }),
      failed ? "" : made("span", {}, words)),
    button(failed ? "Dismiss" : "Cancel", one.name, () => call("DELETE", path)));
}

// What has come since the last look is said, once, and the rest of the page told.
function settle(imports) {
  const here = imports.filter((one) => one.state === "done" && running.delete(one.id));
  for (const one of imports) if (one.state === "running") running.add(one.id);
  if (!here.length) return;
  say(`${here.map((one) => one.name).join(", ")} is here.`);
  document.dispatchEvent(new Event("models"));
}

async function look() {
  const { sticks, imports } = await call("GET", "/api/sticks");
  settle(imports);
  const found = JSON.stringify([sticks, imports]);
  if (found === shown) return;
  shown = found;
  const open = imports.filter((one) => one.state !== "done");
  const taken = new Set(imports.filter((one) => one.state === "running").map((one) => `${one.stick}/${one.name}`));
  const focus = document.activeElement?.ariaLabel;
  $("sticks").replaceChildren(...open.map(importView), ...sticks.flatMap((stick) => {
    const files = stick.files.filter((file) => !taken.has(`${stick.id}/${file.path.split("/").pop()}`));
    return stick.files.length ? files.map((file) => fileView(stick, file))
      : [made("li", { className: "quiet" }, `There is no model file (.gguf) on ${stick.label}.`)];
  }));
  if (!$("sticks").childElementCount)
    $("sticks").append(made("li", { className: "quiet" }, "Plug a stick with GGUF files into the node, and they show up here."));
  if (focus) [...$("sticks").querySelectorAll("button")].find((one) => one.ariaLabel === focus)?.focus();
}

async function watch() {
  for (;;) {
    if (!document.hidden) await look().catch((error) => say(error.message));
    await new Promise((done) => setTimeout(done, LOOK_S * 1000));
  }
}

if ($("sticks")) watch();
