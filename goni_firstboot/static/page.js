"use strict";
// Everything here is a convenience: each page does its work without it.

// The browser knows its time zone; a guess gives way to it, an answer doesn't.
const zone = document.querySelector("select[data-guessed]");
if (zone) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if ([...zone.options].some((option) => option.value === own)) zone.value = own;
}

for (const button of document.querySelectorAll("button[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// Progress bars move while the page is looked at.
const moving = document.querySelector("[data-progress]");
async function move() {
  if (!document.hidden) {
    const said = await fetch(moving.dataset.progress).then((answer) => answer.json(), () => null);
    (said?.coming ?? []).forEach((one, index) => {
      const bar = moving.querySelectorAll("progress")[index];
      if (!bar) return;
      bar.value = one.percent;
      bar.nextElementSibling.textContent = `${one.percent} %`;
    });
  }
  setTimeout(move, 2000);
}
if (moving) setTimeout(move, 2000);

// A form that takes a while says so; the browser shows nothing but a small wheel.
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", (event) => {
    const pressed = event.submitter;
    if (pressed?.dataset.busy) pressed.textContent = pressed.dataset.busy;
  });
}
