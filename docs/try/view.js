// Draw clouds with their samples, by regl. All views share one direction.
/* global createREGL */
const direction = { yaw: 0.6, pitch: 0.35 };
const views = [];
let asked = false;

export function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    for (const view of views) view.draw();
  });
}

export class View {
  constructor(canvas, name) {
    this.canvas = canvas;
    this.regl = createREGL({ canvas, attributes: { antialias: true, alpha: true, preserveDrawingBuffer: true } });
    this.count = 0;
    this.cloud = this.regl.buffer({ usage: "dynamic", length: 12 });
    this.sample = this.regl.buffer({ usage: "dynamic", length: 12 });
    this.command = this.regl({
      vert: `
        precision highp float;
        attribute vec3 point;
        uniform float size, yaw, pitch, radius;
        uniform vec3 centre;
        uniform vec2 scale;
        varying float depth;
        void main() {
          vec3 p = (point - centre) / radius;
          float x = cos(yaw) * p.x + sin(yaw) * p.z;
          float z = cos(yaw) * p.z - sin(yaw) * p.x;
          float y = cos(pitch) * p.y - sin(pitch) * z;
          depth = sin(pitch) * p.y + cos(pitch) * z;
          gl_Position = vec4(vec2(x, y) * scale, -0.5 * depth, 1.0);
          gl_PointSize = size * (1.0 + 0.25 * depth);
        }`,
      frag: `
        precision mediump float;
        uniform vec4 color;
        varying float depth;
        void main() {
          float r = length(gl_PointCoord - 0.5);
          if (r > 0.5) discard;
          gl_FragColor = vec4(color.rgb, 1.0) * color.a * (0.72 + 0.28 * depth);
        }`,
      attributes: { point: this.regl.prop("buffer") },
      uniforms: {
        size: this.regl.prop("size"), color: this.regl.prop("color"), scale: this.regl.prop("scale"),
        centre: this.regl.prop("centre"), radius: this.regl.prop("radius"),
        yaw: () => direction.yaw, pitch: () => direction.pitch,
      },
      count: this.regl.prop("count"),
      primitive: "points",
      blend: { enable: true, func: { src: "one", dst: "one minus src alpha" } },
    });
    canvas.setAttribute("aria-label", `${name}: the cloud and its sampled points; drag or arrow keys turn it`);
    this.listen();
    views.push(this);
    new ResizeObserver(draw).observe(canvas);
  }

  // points, sampled: Float32Arrays of (n, 3) in the unit sphere, y up.
  set(points, sampled) {
    this.cloud(points);
    this.sample(sampled);
    this.points = points.length / 3;
    this.count = sampled.length / 3;
    this.place = ball(points);
    draw();
  }

  draw() {
    const { canvas, regl, count, place } = this;
    const ratio = Math.min(devicePixelRatio, 2);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    regl.poll();
    regl.clear({ color: [0, 0, 0, 0], depth: 1 });
    if (!count) return;
    const side = 0.97 * Math.min(canvas.width, canvas.height);
    const scale = [side / canvas.width, side / canvas.height];
    const style = getComputedStyle(canvas);
    const unit = ratio * Math.min(1.2, Math.max(0.75, canvas.clientHeight / 320));
    const size = count <= 160 ? 9 : count <= 512 ? 6.5 : 5;
    const cloud = { buffer: this.cloud, count: this.points, color: rgba(style.getPropertyValue("--cloud"), 0.55) };
    const sample = { buffer: this.sample, count, color: rgba(style.getPropertyValue("--sample"), 1) };
    this.command({ ...cloud, ...place, size: (this.points > 4096 ? 1.8 : 2.8) * unit, scale });
    regl.clear({ depth: 1 }); // so that no point of the cloud hides a sampled one
    this.command({ ...sample, ...place, size: size * unit, scale });
  }

  listen() {
    const { canvas } = this;
    const turn = (x, y) => {
      direction.yaw += x;
      direction.pitch = Math.max(-1.5, Math.min(1.5, direction.pitch + y));
      draw();
    };
    let at = null;
    canvas.addEventListener("pointerdown", (event) => {
      at = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!at) return;
      turn((event.clientX - at[0]) / 120, (event.clientY - at[1]) / 120);
      at = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { at = null; });
    const keys = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      turn(...keys[event.key]);
    });
  }
}

// The middle of the points' box, and the largest distance from it.
function ball(points) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  points.forEach((v, k) => {
    low[k % 3] = Math.min(low[k % 3], v);
    high[k % 3] = Math.max(high[k % 3], v);
  });
  const centre = low.map((v, axis) => (v + high[axis]) / 2);
  let radius = 1e-12;
  for (let k = 0; k < points.length; k += 3) {
    radius = Math.max(radius, Math.hypot(points[k] - centre[0], points[k + 1] - centre[1], points[k + 2] - centre[2]));
  }
  return { centre, radius };
}

function rgba(hex, alpha) {
  const number = parseInt(hex.trim().slice(1), 16);
  return [(number >> 16) / 255, ((number >> 8) & 255) / 255, (number & 255) / 255, alpha];
}
