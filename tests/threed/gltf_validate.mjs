// Prints Khronos's findings on one GLB as JSON: node gltf_validate.mjs FILE
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const validator = createRequire(import.meta.url)("gltf-validator");
const bytes = new Uint8Array(await readFile(process.argv[2]));
const report = await validator.validateBytes(bytes, { maxIssues: 100 });
console.log(JSON.stringify(report));
