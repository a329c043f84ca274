// Pictures for a question: chosen, photographed, pasted or dropped; made small enough for the node
// here, which also leaves behind where and when they were taken; shown with a button to take back.

export { tray };

const MOST = 4; // with one question, as goni_gateway/pictures.py has it
const LONGEST = 2_700_000; // characters of a data: URL, likewise
const STEPS = [[2048, 0.85], [1536, 0.8], [1024, 0.7]]; // longest side in pixels, JPEG quality

const made = (tag, properties) => Object.assign(document.createElement(tag), properties);

// The picture in `file` as a data: URL of a JPEG.
async function shrunk(file) {
  const picture = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name || "That"} is no picture that this browser can read.`);
  });
  for (const [side, quality] of STEPS) {
    const scale = Math.min(1, side / Math.max(picture.width, picture.height));
    const canvas = made("canvas", {
      width: Math.max(1, Math.round(picture.width * scale)), height: Math.max(1, Math.round(picture.height * scale)),
    });
    const ground = canvas.getContext("2d");
    ground.fillStyle = "#fff"; // what is transparent would come out black
    ground.fillRect(0, 0, canvas.width, canvas.height);
    ground.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const url = canvas.toDataURL("image/jpeg", quality);
    if (url.length <= LONGEST) return url;
  }
  throw new Error(`${file.name || "That picture"} can't be made small enough.`);
}

// What holds the pictures of the next question. `button` opens the file picker `input`, `list`
// shows them, `form` takes what is pasted or dropped, `say` tells what went wrong.
function tray({ button, input, list, form, say }) {
  let held = [], allowed = false;

  function show() {
    list.hidden = held.length === 0;
    list.replaceChildren(...held.map((url, place) => {
      const item = made("li", {});
      item.append(
        made("img", { src: url, alt: `Picture ${place + 1}` }),
        made("button", { type: "button", textContent: "✕", ariaLabel: `Remove picture ${place + 1}`,
          onclick: () => { held.splice(place, 1); show(); button.focus(); } }));
      return item;
    }));
  }

  async function add(files) {
    const pictures = [...files].filter((file) => file.type.startsWith("image/"));
    if (!pictures.length) return false;
    if (!allowed) { say("This model does not read pictures. Choose one that does."); return true; }
    say("");
    for (const file of pictures) {
      if (held.length >= MOST) { say(`${MOST} pictures with one question at most.`); break; }
      try { held.push(await shrunk(file)); } catch (error) { say(error.message); }
      show();
    }
    return true;
  }

  button.onclick = () => input.click();
  input.onchange = async () => { const files = [...input.files]; input.value = ""; await add(files); };
  form.onpaste = (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.some((file) => file.type.startsWith("image/"))) { event.preventDefault(); add(files); }
  };
  form.ondragover = (event) => { if (allowed) event.preventDefault(); };
  form.ondrop = (event) => { if (allowed) { event.preventDefault(); add(event.dataTransfer.files); } };

  return {
    allow(on) { allowed = on; button.hidden = !on; },
    take() { const taken = held; held = []; show(); return taken; },
    give(back) { held = back; show(); },
  };
}
