// The mesh and its tools: views, light, dimensions, and turning in step with the video.

const turn = 360;
let last = null; // The step's own viewer that is driven now.

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

function showDimensions(viewer, tools) {
  const place = tools.querySelector("[data-text]");
  const size = viewer.getDimensions();
  const say = (value) => value.toFixed(2);
  place.textContent = place.dataset.text
    .replace("{w}", say(size.x))
    .replace("{h}", say(size.y))
    .replace("{d}", say(size.z));
}

// Video to mesh: a frame's azimuth grows with its time; mesh to video when somebody turns the mesh.
function keepInStep(viewer, tools, film) {
  const wanted = () => tools.querySelector("[data-tool=in-step]")?.checked && film.duration;
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

function bind(viewer) {
  const tools = viewer.closest(".step").querySelector(".tools");
  const film = document.getElementById("film");
  const start = () => {
    showDimensions(viewer, tools);
    if (film) keepInStep(viewer, tools, film);
    tools.addEventListener("input", (event) => {
      const field = event.target;
      if (field.name === "view") setView(viewer, field.value);
      if (field.dataset.tool === "light") viewer.exposure = Number(field.value);
      if (field.dataset.tool === "in-step" && field.checked) film?.play();
    });
    tools.querySelector("[data-tool=fullscreen]").addEventListener("click", () => {
      const square = viewer.closest(".square");
      if (document.fullscreenElement) document.exitFullscreen();
      else square.requestFullscreen?.();
    });
  };
  if (viewer.loaded) start();
  else viewer.addEventListener("load", start, { once: true });
  const give_up = () => window.latheSend?.({ act: "viewer" });
  viewer.addEventListener("error", (event) => {
    if (event.detail?.type === "webglcontextlost" || event.detail?.type === "loadfailure") give_up();
  });
  // Where the element itself never came, Gradio's own viewer is tried.
  setTimeout(() => {
    if (!customElements.get("model-viewer") && viewer.isConnected) give_up();
  }, 15000);
}

new MutationObserver(() => {
  const viewer = document.querySelector("#mesh-step model-viewer");
  if (viewer && viewer !== last) bind((last = viewer));
}).observe(document.documentElement, { childList: true, subtree: true });
