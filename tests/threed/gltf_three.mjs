// Prints how three.js sees one GLB, as JSON: node gltf_three.mjs FILE
import { readFile } from "node:fs/promises";

// What three.js expects of a browser; the picture is handed through undecoded.
globalThis.self = globalThis;
globalThis.createImageBitmap = async (blob) => ({ width: 1, height: 1, kind: blob.type, bytes: blob.size });

const { Box3 } = await import("three");
const { GLTFLoader } = await import("three/addons/loaders/GLTFLoader.js");
const bytes = await readFile(process.argv[2]);
const whole = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
const { scene } = await new GLTFLoader().parseAsync(whole, "");
const meshes = [];
scene.traverse((object) => {
  if (!object.isMesh) return;
  const { geometry, material } = object;
  const { kind, bytes: pictureBytes } = material.map.image;
  meshes.push({
    material: material.type,
    colourSpace: material.map.colorSpace,
    picture: [kind, pictureBytes],
    triangles: geometry.index.count / 3,
    normals: geometry.attributes.normal.count,
    uv: Array.from(geometry.attributes.uv.array.slice(0, 8)),
  });
});
const box = new Box3().setFromObject(scene);
console.log(JSON.stringify({ meshes, low: box.min.toArray(), high: box.max.toArray() }));
