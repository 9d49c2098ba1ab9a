// The slider of `samplenet view`: how many points of each sample are drawn. Trace 0 is the cloud.
// It starts at few points: these show best how the samples differ.
const figure = document.getElementById("{plot_id}");
const samples = figure.data.slice(1).map(({ x, y, z, name }) => {
  return { x, y, z, kind: name.replace(/^\d+ /, "") };
});
const most = samples[0].x.length;
const start = Math.min(32, most);

const label = document.createElement("label");
label.innerHTML = `<span>m = <output>${start}</output></span>
  <input type="range" min="1" max="${most}" value="${start}">`;
figure.after(label);
const [m, slider] = [label.querySelector("output"), label.querySelector("input")];

function draw() {
  const first = (axis) => samples.map((sample) => sample[axis].slice(0, slider.value));
  const name = samples.map(({ kind }) => `${slider.value} ${kind}`);
  const traces = samples.map((_, i) => i + 1);
  Plotly.restyle(figure, { x: first("x"), y: first("y"), z: first("z"), name }, traces);
  m.textContent = slider.value;
}

draw();
let waits = false; // a drag gives more values than a large cloud can be drawn for
slider.addEventListener("input", () => {
  if (waits) return;
  waits = true;
  requestAnimationFrame(() => {
    waits = false;
    draw();
  });
});
