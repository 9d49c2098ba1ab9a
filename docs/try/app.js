// The page: which cloud, which size, and what each sampler makes of them.
import { read, writePly } from "./clouds.js";
import { MAX_POINTS, Networks, atRandom, farthestPoints, normalise, rows } from "./sample.js";
import { View } from "./view.js";

const SAMPLERS = { samplenet: "SampleNet", fps: "Farthest points", random: "Random" };
const LARGEST = 1024, SMALLEST = 4, SEED = 1;
const $ = (id) => document.getElementById(id);
const started = performance.now();
const state = { m: 32 }; // cloud, name, points (normalised), orders by sampler, whole
const panels = {};
let networks, facts;

function say(sentence, bad = false) {
  $("status").textContent = sentence;
  $("status").classList.toggle("bad", bad);
}

// Let the browser show what was said before the processor is busy.
const shown = () => new Promise((resolve) => setTimeout(resolve, 20));

function build() {
  for (const [key, name] of Object.entries(SAMPLERS)) {
    const card = document.createElement("article");
    card.className = key;
    card.innerHTML = `<h2>${name}</h2><canvas tabindex="0" role="img"></canvas>
      <p class="label"><b>…</b><span></span></p>
      <div class="bar"><i></i></div>
      <p class="saves"><button type="button" disabled>Indices</button><button type="button" disabled>PLY</button></p>`;
    $("panels").append(card);
    const [indices, ply] = card.querySelectorAll("button");
    indices.addEventListener("click", () => save(key, "txt"));
    ply.addEventListener("click", () => save(key, "ply"));
    let view = null;
    try {
      view = new View(card.querySelector("canvas"), name);
    } catch {
      say("This browser offers no WebGL, so the clouds cannot be drawn; samples can be saved.", true);
    }
    panels[key] = { card, view, buttons: [indices, ply] };
  }
  for (const name of facts.shapes) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => open(name, async () => (await fetch(`shapes/${name}.npy`)).arrayBuffer(), `${name}.npy`));
    $("shapes").append(button);
  }
}

async function open(name, bytes, file) {
  try {
    say(`Reading ${name} …`);
    await shown();
    await use(name, prepare(file, read(file, await bytes())));
    for (const button of $("shapes").children) button.setAttribute("aria-pressed", button.textContent === name);
  } catch (error) {
    say(error.message, true);
  }
}

// Check that a cloud can be sampled, and thin it if it is large; sentences about it in `notes`.
function prepare(name, cloud) {
  const held = cloud.points.n;
  if (held < facts.m) throw new Error(`${name} has ${held} points; SampleNet picks up to ${facts.m}, so this page needs at least as many.`);
  const notes = [];
  if (held < cloud.n) notes.push(`${cloud.n - held} points without finite coordinates are left out.`);
  if (held > MAX_POINTS) {
    const some = atRandom(held, MAX_POINTS, SEED).sort();
    cloud.kept = some.map((i) => cloud.kept[i]);
    const { x, y, z, single } = cloud.points;
    const [a, b, c] = [x, y, z].map((axis) => Float64Array.from(some, (i) => axis[i]));
    cloud.points = { x: a, y: b, z: c, n: MAX_POINTS, single };
    notes.push(`Of ${held.toLocaleString("en")} points, ${MAX_POINTS.toLocaleString("en")} drawn at random are used; samplenet sample cuts large clouds into patches instead, so its indices differ.`);
  }
  return { ...cloud, notes };
}

// Sample a cloud by all three, once, up to the slider's largest size.
async function use(name, cloud) {
  say(`Sampling ${name} …`);
  await shown();
  const begun = performance.now();
  const points = normalise(cloud.points, $("up").value);
  const most = Math.min(cloud.points.n, LARGEST);
  const matched = await networks.sample(points);
  const took = performance.now() - begun;
  const orders = {
    samplenet: farthestPoints(cloud.points, most, matched),
    fps: farthestPoints(cloud.points, most),
    random: atRandom(cloud.points.n, most, SEED),
  };
  Object.assign(state, { name, cloud, points, orders, whole: await networks.classify(points) });
  state.m = Math.min(state.m, most);
  state.most = most;
  state.milliseconds = took;
  $("slider").disabled = false;
  $("slider").value = position(state.m);
  $("note").textContent = cloud.notes.join(" ");
  await show();
  state.ready ??= performance.now() - started;
  say(`${name}: ${cloud.n.toLocaleString("en")} points. SampleNet ran once, in ${took.toFixed(0)} ms.`);
}

// The slider is logarithmic, from SMALLEST to the largest size.
const position = (m) => Math.round((1000 * Math.log(m / SMALLEST)) / Math.log(state.most / SMALLEST));
const sizeAt = (value) => Math.round(SMALLEST * (state.most / SMALLEST) ** (value / 1000));

function best(probabilities) {
  const i = probabilities.indexOf(Math.max(...probabilities));
  return { name: facts.classes[i].replaceAll("_", " "), share: probabilities[i], i };
}

const percent = (share) => `${(100 * share).toFixed(0)} %`;
let busy = false, again = false;

// Draw and classify the first m points of each order; of many calls at once only the last counts.
async function show() {
  again = true;
  if (busy) return;
  busy = true;
  try {
    while (again) {
      again = false;
      const { m, points, orders, whole, cloud } = state;
      $("m").textContent = m;
      const answer = best(whole);
      $("whole").innerHTML = `The whole cloud: <b>${answer.name}</b> ${percent(answer.share)}`;
      for (const [key, panel] of Object.entries(panels)) {
        const sampled = rows(points, orders[key].subarray(0, m));
        panel.view?.set(points, sampled);
        const found = best(await networks.classify(sampled));
        const same = found.i === answer.i;
        panel.card.classList.toggle("differs", !same);
        panel.card.querySelector(".label b").textContent = found.name;
        panel.card.querySelector(".label span").textContent = `${percent(found.share)}, ${same ? "as the whole cloud" : `but the whole cloud is ${answer.name}`}`;
        panel.card.querySelector(".bar i").style.width = `${100 * found.share}%`;
        for (const button of panel.buttons) button.disabled = false;
      }
      state.shown = m;
    }
  } finally {
    busy = false;
  }
}

function chosen(key) {
  return Array.from(state.orders[key].subarray(0, state.m), (i) => state.cloud.kept[i]);
}

function save(key, kind) {
  const idx = chosen(key);
  const content = kind === "ply" ? writePly(state.cloud, idx) : new Blob([idx.map((i) => `${i}\n`).join("")]);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = `${state.name.replace(/\.\w+$/, "")}-${key}-${state.m}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function take(file) {
  if (file) open(file.name, () => file.arrayBuffer(), file.name);
}

function listen() {
  $("slider").addEventListener("input", () => {
    state.m = sizeAt(Number($("slider").value));
    show();
  });
  $("up").addEventListener("change", () => { if (state.cloud) use(state.name, state.cloud).catch((error) => say(error.message, true)); });
  $("file").addEventListener("change", () => { take($("file").files[0]); $("file").value = ""; });
  addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
  addEventListener("dragleave", () => $("drop").classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
}

async function start() {
  try {
    facts = await (await fetch("facts.json")).json();
    build();
    $("limit").textContent = facts.m;
    networks = await Networks.load(say);
    listen();
    $("shapes").querySelector("button:nth-child(3)").click();
  } catch (error) {
    say(`The page could not start: ${error.message}`, true);
  }
}

window.page = { state, chosen, writePly }; // for the test
start();
