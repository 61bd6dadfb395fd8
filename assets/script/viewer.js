// The mesh and its tools: views, light, dimensions, and turning in step with the video.

const turn = 360;
let last = null; // The step's own viewer that is driven now.
let film = null; // The film that it is kept in step with.
let loaded = null; // The address of the mesh that it shows; src may be a later one's already.

// A job's HTML is changed into the next one's, so the viewer and its tools may stay while their mesh
// is another; whatever concerns the mesh begins with its load.
const ownViewer = () => document.querySelector("#mesh-step model-viewer");
const toolsOf = (viewer) => viewer.closest(".step").querySelector(".tools");
const unmeasured = "…";

function sceneOf(viewer) {
  // model-viewer keeps its three.js scene under a symbol; wireframes need it.
  const symbol = Object.getOwnPropertySymbols(viewer).find((s) => s.description === "scene");
  return symbol && viewer[symbol];
}

function materialsOf(viewer) {
  const found = [];
  sceneOf(viewer)?.traverse((object) => {
    if (object.isMesh && object.material && !object.material.isShadowMaterial) {
      for (const material of [object.material].flat()) if (material.map !== undefined) found.push(material);
    }
  });
  return found;
}

function setView(viewer, view) {
  const [material] = viewer.model?.materials ?? [];
  if (!material) return;
  viewer.lathe ??= { texture: material.pbrMetallicRoughness.baseColorTexture.texture };
  const { texture } = viewer.lathe;
  const surface = material.pbrMetallicRoughness;
  const plain = view === "matte" || view === "wires";
  surface.baseColorTexture.setTexture(plain ? null : texture);
  surface.setBaseColorFactor(
    view === "colour" ? [0, 0, 0, 1] : view === "matte" ? [0.72, 0.7, 0.67, 1] : view === "wires" ? [0.1, 0.1, 0.1, 1] : [1, 1, 1, 1],
  );
  // The texture as it is: it shines by itself and takes no light.
  material.emissiveTexture.setTexture(view === "colour" ? texture : null);
  material.setEmissiveFactor(view === "colour" ? [1, 1, 1] : [0, 0, 0]);
  for (const inner of materialsOf(viewer)) inner.wireframe = view === "wires";
  sceneOf(viewer)?.queueRender?.();
  viewer.dataset.view = view;
}

function showDimensions(viewer) {
  const place = toolsOf(viewer).querySelector("[data-text]");
  const size = viewer.getDimensions();
  const say = (value) => value.toFixed(2);
  place.textContent = place.dataset.text
    .replace("{w}", say(size.x))
    .replace("{h}", say(size.y))
    .replace("{d}", say(size.z));
}

// Video to mesh: a frame's azimuth grows with its time; mesh to video when somebody turns the mesh.
function keepInStep(viewer, film) {
  const wanted = () =>
    viewer.isConnected && toolsOf(viewer).querySelector("[data-tool=in-step]")?.checked && film.duration;
  let held = 0;
  viewer.addEventListener("camera-change", (event) => {
    if (event.detail.source !== "user-interaction" || !wanted()) return;
    film.pause();
    held = performance.now();
    const azimuth = (viewer.getCameraOrbit().theta / (2 * Math.PI)) % 1;
    film.currentTime = ((azimuth + 1) % 1) * film.duration;
  });
  // Only while the film plays: a loop that never ends keeps the whole page from resting.
  let following = false;
  const follow = () => {
    following = viewer.isConnected && !film.paused && !film.ended;
    if (!following) return;
    requestAnimationFrame(follow);
    if (!wanted() || performance.now() - held < 300) return;
    const orbit = viewer.getCameraOrbit();
    const now = (orbit.theta * 180) / Math.PI;
    const azimuth = (turn * film.currentTime) / film.duration;
    // The same side by the shorter way, so that the start of a turn is no jump.
    const target = azimuth + turn * Math.round((now - azimuth) / turn);
    if (Math.abs(target - now) < 0.05) return;
    viewer.cameraOrbit = `${target}deg ${orbit.phi}rad ${orbit.radius}m`;
  };
  const begin = () => following || follow();
  film.addEventListener("play", begin);
  begin();
}

function begin(viewer) {
  loaded = viewer.src;
  // The texture of the mesh before.
  delete viewer.lathe;
  showDimensions(viewer);
  const { value } = toolsOf(viewer).querySelector("[name=view]:checked");
  // As it is loaded it is lit.
  viewer.dataset.view = "lit";
  if (value !== "lit") setView(viewer, value);
  const shown = document.getElementById("film");
  if (shown && shown !== film) keepInStep(viewer, (film = shown));
}

function bind(viewer) {
  film = loaded = null;
  if (!document.createElement("canvas").getContext("webgl2")) {
    const words = document.createElement("p");
    words.className = "in-square";
    words.textContent = viewer.dataset.absent;
    viewer.replaceWith(words);
    return;
  }
  viewer.addEventListener("load", () => begin(viewer));
  if (viewer.loaded) begin(viewer);
  const give_up = () => window.latheSend?.({ act: "viewer", text: "other" });
  viewer.addEventListener("error", (event) => {
    if (event.detail?.type === "webglcontextlost" || event.detail?.type === "loadfailure") give_up();
  });
  // Where the element itself never came, Gradio's own viewer is tried.
  setTimeout(() => {
    if (!customElements.get("model-viewer") && viewer.isConnected) give_up();
  }, 15000);
}

document.addEventListener("input", ({ target }) => {
  const viewer = ownViewer();
  if (!viewer || !target.closest?.("#mesh-step .tools")) return;
  if (target.name === "view") setView(viewer, target.value);
  if (target.dataset.tool === "light") viewer.exposure = Number(target.value);
  if (target.dataset.tool === "in-step" && target.checked) document.getElementById("film")?.play();
});
document.addEventListener("click", ({ target }) => {
  if (!target.closest?.("#mesh-step [data-tool=fullscreen]")) return;
  if (document.fullscreenElement) document.exitFullscreen();
  else ownViewer()?.closest(".square").requestFullscreen?.();
});

new MutationObserver(() => {
  const viewer = ownViewer();
  if (!viewer) return;
  if (viewer !== last) bind((last = viewer));
  // The same mesh under another title, or in another language.
  const place = viewer.isConnected && toolsOf(viewer).querySelector("[data-text]");
  if (place && place.textContent === unmeasured && viewer.src === loaded) showDimensions(viewer);
}).observe(document.documentElement, { childList: true, subtree: true, characterData: true });
