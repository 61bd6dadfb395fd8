// What the page does by itself: presses within its own HTML, sharing links, dropped files, keys.
// Presses go to the server through the element that sets window.latheSend (ui/page.py).

const send = (pressed) => window.latheSend?.(pressed);

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.act");
  if (!button || button.disabled) return;
  if (button.dataset.tool === "copy") return copyLink(button);
  const { act, job, sure } = button.dataset;
  if (!act) return;
  // What cannot be taken back is asked for twice.
  if (sure && button.dataset.asked !== "yes") return askAgain(button, sure);
  if (act === "cancel" || act === "stop" || act === "build") {
    // Until it has been heeded; where it is refused nothing else would let it be pressed again.
    button.disabled = true;
    setTimeout(() => (button.disabled = false), 3000);
  }
  send({ act, job });
  if (act === "choose" || act === "again") toTop(act === "again" ? "form" : "panel");
});

function askAgain(button, question) {
  const text = button.textContent;
  button.dataset.asked = "yes";
  button.textContent = question;
  setTimeout(() => {
    button.dataset.asked = "";
    button.textContent = text;
  }, 4000);
}

function toTop(id) {
  const place = document.getElementById(id);
  if (place && place.getBoundingClientRect().top < 0) show(place);
}

function show(place) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  place.scrollIntoView({ behavior: calm ? "auto" : "smooth" });
}

// On a phone the panel lies below the form, where nobody would see it begin.
window.latheShow = () => {
  const refused = document.querySelector("#form-error .notice.error");
  if (!refused && innerWidth < 760) show(document.getElementById("panel"));
};

// A refusal stands in the form, which on a phone is far above what was pressed.
window.latheRefused = () => {
  const refused = document.querySelector("#form-error .notice.error");
  const { top, bottom } = refused?.getBoundingClientRect() ?? {};
  if (refused && (top < 0 || bottom > innerHeight)) show(refused);
};

// A title is sent when it is left or confirmed; without one the thing is called as it was typed.
document.addEventListener("change", (event) => {
  const { act, job } = event.target.dataset ?? {};
  if (act !== "rename") return;
  send({ act, job, text: event.target.value });
  if (!event.target.value.trim()) event.target.value = event.target.defaultValue;
});
document.addEventListener("keydown", (event) => {
  // This Enter only chooses among the characters that a keyboard offers (229: in Safari).
  if (event.isComposing || event.keyCode === 229) return;
  if (event.key === "Enter" && event.target.matches?.("input.title")) event.target.blur();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    if (event.target.closest?.("#prompt")) document.getElementById("generate")?.click();
  }
});

// A player's own controls cover the picture, so they are there for whoever comes near.
for (const [event, there] of [["pointerover", true], ["focusin", true], ["pointerout", false]]) {
  document.addEventListener(event, ({ target }) => {
    if (target.id === "film") target.controls = there;
  });
}

// Sharing: the server knows the token, the browser the page's own address.
function linkOf(token) {
  const address = new URL(location.href);
  address.search = new URLSearchParams({ share: token });
  address.hash = "";
  return address.href;
}

async function copyLink(button) {
  const field = button.parentElement.querySelector("input");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    // Without the permission, or over plain HTTP.
    document.execCommand("copy");
  }
  const text = button.textContent;
  if (text === button.dataset.done) return;
  button.textContent = button.dataset.done;
  setTimeout(() => (button.textContent = text), 2000);
}

function fillLinks() {
  for (const link of document.querySelectorAll(".link[data-token]")) {
    link.querySelector("input").value = linkOf(link.dataset.token);
  }
}

// A file that is dropped anywhere goes to the place that reads settings. The places for clips and
// pictures take theirs themselves and let nobody else hear of it, so this listens before them.
const bringsFiles = (event) => event.dataTransfer?.types.includes("Files");
const isTaken = (event) => Boolean(event.target.closest?.("#clip, #picture"));
const invite = (wanted) => document.documentElement.classList.toggle("dragging", wanted);
document.addEventListener(
  "dragover",
  (event) => {
    if (!bringsFiles(event)) return;
    invite(!isTaken(event));
    if (!isTaken(event)) event.preventDefault();
  },
  true,
);
document.addEventListener("dragleave", (event) => event.relatedTarget || invite(false), true);
document.addEventListener(
  "drop",
  (event) => {
    invite(false);
    if (!bringsFiles(event) || isTaken(event)) return;
    event.preventDefault();
    // Gradio puts the field beside the button that has the name, so it is known by what it takes.
    const field = document.querySelector("#form input[type=file][accept*='.json']");
    if (!field) return;
    field.files = event.dataTransfer.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  },
  true,
);

// The language may be changed in Gradio's own settings; what the server wrote has to follow.
let language = document.documentElement.lang;
new MutationObserver(() => {
  if (document.documentElement.lang === language) return;
  language = document.documentElement.lang;
  send({ act: "language", text: language });
}).observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });

new MutationObserver(fillLinks).observe(document.documentElement, {
  childList: true,
  subtree: true,
});
