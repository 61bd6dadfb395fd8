// What moves on the page, and when it holds still. Where no GPU draws, whatever moves in the window
// takes its time from the very processor that makes the visitor's video and mesh.

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const frameMs = 300; // Eight views of a preview in 2.4 seconds.
const inSight = new WeakSet();
const shownOnce = new Set(); // Addresses of films that have begun; their elements come and go.
let view = 0;

// Something of the visitor's is being made, on this very machine for all that the page knows.
const working = () => document.querySelector("#status .bar, .card[data-live]") !== null;
const seen = (element) => !document.hidden && inSight.has(element);
const near = (film) => (film.closest("button") ?? film).matches(":hover, :focus-visible");

// A film goes round and round while nothing else is to do. While there is work it ends its turn and
// waits for whoever comes near, and where motion is not wanted it begins only then.
function govern(film) {
  const rests = working() || calm.matches;
  film.loop = !rests || near(film);
  if (!seen(film) || (calm.matches && !near(film))) return stop(film);
  const isNew = !shownOnce.has(film.src);
  if ((film.loop || isNew) && film.paused && !film.dataset.stopped) {
    // Refused where it has been taken off the page meanwhile; the next one is asked again.
    film.play().catch(() => {});
  }
}

function stop(film) {
  if (film.paused) return;
  film.dataset.ours = "yes";
  film.pause();
}

function noticePause({ target: film }) {
  // Whoever stops a film by its controls, or by turning the mesh, wants it to stay so.
  if (!film.ended && !film.dataset.ours) film.dataset.stopped = "yes";
  delete film.dataset.ours;
}

const eye = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inSight.add(target);
    else inSight.delete(target);
    if (target.matches("video")) govern(target);
  }
});

const films = () => document.querySelectorAll("#panel video");
const governAll = () => films().forEach(govern);

// Not a mark on the elements: what the server does not send is taken off them with each answer.
const met = new WeakSet();

function meet(film) {
  met.add(film);
  film.addEventListener("pause", noticePause);
  film.addEventListener("play", () => {
    shownOnce.add(film.src);
    delete film.dataset.stopped;
  });
  eye.observe(film);
}

// A preview's views are shown one after the other by hand: an animation in the style sheet would
// have the whole window drawn sixty times a second for the sake of three. The count goes on from one
// preview to the next, so that the thing keeps turning while its picture is renewed.
function turn(sheet) {
  sheet.style.backgroundPosition = `${((view % 4) * 100) / 3}% ${view > 3 ? 100 : 0}%`;
}

const sheets = () => document.querySelectorAll(".turning div");

setInterval(() => {
  if (document.hidden || calm.matches) return;
  const turning = [...sheets()].filter(seen);
  if (turning.length) view = (view + 1) % 8;
  turning.forEach(turn);
}, frameMs);

for (const event of ["pointerover", "pointerout", "focusin", "focusout"]) {
  document.addEventListener(event, ({ target }) => {
    const film = target.closest?.("button, video");
    // What has the pointer and the focus is known once the event is over.
    if (film?.matches("video, :has(video)")) setTimeout(governAll);
  });
}
document.addEventListener("visibilitychange", governAll);
calm.addEventListener("change", governAll);

new MutationObserver(() => {
  for (const film of films()) if (!met.has(film)) meet(film);
  for (const sheet of sheets()) {
    if (met.has(sheet)) continue;
    met.add(sheet);
    eye.observe(sheet);
    turn(sheet);
    // A new picture comes without the place that the turn is at.
    new MutationObserver(() => sheet.style.backgroundPosition || turn(sheet)).observe(sheet, {
      attributeFilter: ["style"],
    });
  }
  governAll();
}).observe(document.documentElement, { childList: true, subtree: true });
