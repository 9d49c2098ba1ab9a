// Choose points: farthest points, chance, and the exported networks in onnxruntime-web.
// Clouds are coordinates {x, y, z, n, single}: Float64Arrays of n numbers that are exact copies of
// the file's; `single` tells that the file stores them in 32 bits, so distances are rounded to that.
import * as ort from "./parts/ort.js";

export const MAX_POINTS = 16384; // as samplenet.console.pick: larger clouds are not sampled whole

// Indices of m farthest points, after the indices in `chosen`, as samplenet.ops gives them: squared
// distances are summed as (dx*dx + dy*dy) + dz*dz, and of equal ones the lowest index wins.
export function farthestPoints({ x, y, z, n, single }, m, chosen = [0]) {
  const first = [...new Set(chosen)].slice(0, m);
  const nearest = new Float64Array(n).fill(Infinity); // -1 once picked
  const picks = new Int32Array(m);
  const round = Math.fround;
  let far = 0;
  for (let i = 0; i < m; i++) {
    const pick = i < first.length ? first[i] : far;
    picks[i] = pick;
    nearest[pick] = -1;
    const px = x[pick], py = y[pick], pz = z[pick];
    let best = -2;
    for (let j = 0; j < n; j++) {
      if (nearest[j] < 0) continue;
      let dx = x[j] - px, dy = y[j] - py, dz = z[j] - pz, distance;
      if (single) {
        dx = round(dx); dy = round(dy); dz = round(dz);
        distance = round(round(round(dx * dx) + round(dy * dy)) + round(dz * dz));
      } else distance = dx * dx + dy * dy + dz * dz;
      if (distance < nearest[j]) nearest[j] = distance;
      if (nearest[j] > best) { best = nearest[j]; far = j; }
    }
  }
  return picks;
}

// m of n at random, without repetition; the same for the same seed.
export function atRandom(n, m, seed) {
  const order = Int32Array.from({ length: n }, (_, i) => i);
  for (let i = 0; i < m; i++) {
    seed = (seed + 0x6d2b79f5) | 0; // mulberry32
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    const j = i + Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * (n - i));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order.slice(0, m);
}

// Turn a cloud to have y up, centre it on its mean and divide by the largest norm, as the networks
// were trained (samplenet.normalise, "unit_sphere"): Float32Array of (n, 3).
export function normalise({ x, y, z, n }, up) {
  const axes = up === "z" ? [x, z, y.map((v) => -v)] : [x, y, z];
  const means = axes.map((axis) => axis.reduce((sum, v) => sum + v, 0) / n);
  let radius = 0;
  const at = (i, axis) => axes[axis][i] - means[axis];
  for (let i = 0; i < n; i++) {
    radius = Math.max(radius, Math.sqrt(at(i, 0) ** 2 + at(i, 1) ** 2 + at(i, 2) ** 2));
  }
  const divisor = Math.max(radius, 1e-12);
  return Float32Array.from({ length: 3 * n }, (_, k) => at(Math.floor(k / 3), k % 3) / divisor);
}

// Take rows of a Float32Array of (n, 3).
export function rows(points, idx) {
  return Float32Array.from({ length: 3 * idx.length }, (_, k) => points[3 * idx[Math.floor(k / 3)] + (k % 3)]);
}

export class Networks {
  last = Promise.resolve();

  // Load the WebAssembly and both networks; `tell` gets sentences about the progress.
  static async load(tell) {
    ort.env.wasm.numThreads = 1; // more need headers that a static host does not send
    ort.env.logLevel = "error";
    ort.env.wasm.wasmPaths = { mjs: new URL("parts/ort.loader.js", document.baseURI).href };
    // given as bytes, as some hosts do not serve .wasm as application/wasm
    const files = ["parts/ort.wasm", "sampler.onnx", "classifier.onnx"];
    let size = 0;
    const count = (bytes) => {
      size += bytes;
      tell(`Loading WebAssembly and networks: ${(size / 1e6).toFixed(1)} MB of 16 MB …`);
    };
    const [wasm, sampler, task] = await Promise.all(files.map((file) => download(file, count)));
    ort.env.wasm.wasmBinary = wasm;
    const open = (bytes) => ort.InferenceSession.create(new Uint8Array(bytes));
    tell("Starting the networks …");
    const made = new Networks();
    made.sampler = await open(sampler);
    made.task = await open(task);
    return made;
  }

  // Run a network when the runs before have ended: onnxruntime takes one at a time.
  run(network, cloud) {
    const answer = this.last.then(() => network.run({ cloud }));
    this.last = answer.catch(() => {});
    return answer;
  }

  // SampleNet's points in their order: indices of all that it generates, matched to the cloud.
  async sample(points) {
    const cloud = new ort.Tensor("float32", points, [1, points.length / 3, 3]);
    const { idx } = await this.run(this.sampler, cloud);
    return Array.from(idx.data, Number);
  }

  // Probabilities of the classes for points of a normalised cloud.
  async classify(points) {
    const cloud = new ort.Tensor("float32", points, [1, points.length / 3, 3]);
    const logits = (await this.run(this.task, cloud)).logits.data;
    const largest = Math.max(...logits);
    const powers = Array.from(logits, (v) => Math.exp(v - largest));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((v) => v / sum);
  }
}

async function download(file, count) {
  const response = await fetch(file).catch(() => null);
  if (!response?.ok) throw new Error(`${file} could not be loaded; is the folder complete?`);
  const parts = [];
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    count(value.length);
  }
  return new Blob(parts).arrayBuffer();
}
