"use strict";
// Draws every <figure> of the page when it comes into view: .lines, curves; .clouds, point clouds to turn about.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // Plotly reads a little HTML in its texts; names from files are to be shown as they are
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const shade = (color) => (color === "ink" ? style("--ink") : dark.matches ? lighter(color) : color);
  const lighter = (color) => {
    const rgb = /^#(..)(..)(..)$/.exec(color);
    return rgb ? `rgb(${rgb.slice(1).map((c) => Math.round(parseInt(c, 16) * 0.72 + 70))})` : color;
  };
  const config = { displayModeBar: false, responsive: true, scrollZoom: false };

  function element(parent, tag, text = "", more = {}) {
    const made = Object.assign(document.createElement(tag), more);
    made.textContent = text;
    parent.append(made);
    return made;
  }

  function menu(figure, words, names, change, first = 0) {
    const select = element(figure.querySelector("figcaption"), "select", "", { onchange: change });
    select.setAttribute("aria-label", words);
    names.forEach((name, i) => element(select, "option", name, { value: i, selected: i === first }));
    return select;
  }

  // ticks 1, 2, 5 of each decade between low and high; more where there is room for only few
  function decades(low, high) {
    const among = (steps) => {
      const found = [];
      for (let power = -9; power <= 9; power++)
        for (const step of steps) {
          const tick = Number((step * 10 ** power).toPrecision(3));
          if (tick >= low && tick <= high) found.push(tick);
        }
      return found;
    };
    const coarse = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]].map(among);
    return coarse.find((ticks) => ticks.length >= 4) ?? coarse[3];
  }

  function axis(kind, values, ticks) {
    const base = { gridcolor: style("--line"), linecolor: style("--line"), zeroline: false, automargin: true, fixedrange: touch };
    if (kind === "root") return { ...base, tickvals: ticks.map(Math.sqrt), ticktext: ticks.map(String) };
    if (kind !== "log") return base;
    const shown = values.filter((v) => v > 0);
    const [low, high] = [0.9 * Math.min(...shown), 1.1 * Math.max(...shown)];
    const all = ticks ?? decades(low, high);
    return { ...base, type: "log", range: [Math.log10(low), Math.log10(high)], tickvals: all, ticktext: all.map(String) };
  }

  function lines(figure, data) {
    const plot = figure.querySelector(".plot"), legend = figure.querySelector(".legend"), hidden = {};
    let select = null;
    function draw() {
      const variant = data.variants[select ? select.value : 0];
      const on = (line) => hidden[line.name] ?? line.shown;
      const root = data.x.kind === "root";
      const traces = variant.lines.map((line) => ({
        x: line.x.map((v) => (root ? Math.sqrt(v) : v * line.shift)), y: line.y, customdata: line.x, name: plain(line.name), visible: on(line),
        mode: data.x.points && line.x.length > 1 && line.dash !== "dot" || line.x.length === 1 ? "lines+markers" : "lines",
        line: { color: shade(line.color), dash: line.dash, width: 2 }, marker: { size: 6 },
        hovertemplate: `${plain(line.name)}<br>%{y:.4~g} at %{customdata:.4~g}<extra></extra>`,
      }));
      const seen = variant.lines.filter(on);
      const ys = seen.flatMap((line) => line.y), xs = seen.flatMap((line) => line.x);
      const y = axis(variant.y, ys);
      if (variant.span) y.range = [variant.span[0], variant.span[1] * 1.03];
      Plotly.react(plot, traces, {
        xaxis: { ...axis(data.x.kind, xs, data.x.ticks), title: { text: data.x.title, standoff: 8 } }, yaxis: y,
        margin: { l: 44, r: 12, t: 8, b: 44 }, showlegend: false, hovermode: "closest", dragmode: touch ? false : "zoom",
        font: { family: style("font-family") || "system-ui, sans-serif", size: 12, color: style("--soft") },
        hoverlabel: { font: { size: 12 } }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      }, config);
      legend.replaceChildren();
      for (const line of new Map(variant.lines.map((each) => [each.name, each])).values()) {
        const button = element(legend, "button", "", { type: "button", title: "show or hide" });
        button.setAttribute("aria-pressed", on(line));
        element(button, "i").style.borderTop = `2px ${{ dash: "dashed", dot: "dotted" }[line.dash] ?? "solid"} ${shade(line.color)}`;
        element(button, "span", line.name);
        button.onclick = () => { hidden[line.name] = !on(line); draw(); };
      }
    }
    const labels = data.variants.map((variant) => variant.label);
    if (labels.length > 1) select = menu(figure, data.title, labels, draw);
    else element(figure.querySelector("figcaption"), "span", labels[0], { className: "note" });
    return { draw, drop: () => {} };
  }

  function clouds(figure, data) {
    const plot = figure.querySelector(".plot"), legend = figure.querySelector(".legend");
    const cloud = menu(figure, "cloud", data.clouds.map((c) => c.name), draw);
    const view = menu(figure, "sampler", data.clouds[0].views.map((v) => v.name), draw, data.first);
    const columns = (array) => [0, 1, 2].map((k) => array.filter((_, i) => i % 3 === k).map((v) => v / 1000));
    const arrays = data.arrays.map(columns);
    let drawnCloud = null;

    function draw() {
      const { name, views } = data.clouds[cloud.value], shown = views[view.value];
      // the same room for every view of a cloud, so that nothing jumps
      const layers = views.flatMap((v) => v.layers);
      const ends = (k, which) => {
        const of = layers.filter((layer) => !layer.aside).flatMap((layer) => arrays[layer.array][k]);
        return which(...of.map((v) => v));
      };
      const room = [0, 1, 2].map((k) => [ends(k, Math.min), ends(k, Math.max)]);
      const aside = layers.some((layer) => layer.aside) ? 1.25 * (room[0][1] - room[0][0]) : 0;
      room[0][1] += aside;
      const size = room.map(([low, high]) => Math.max(high - low, 1e-3));
      const traces = shown.layers.map((layer) => {
        const [x, y, z] = arrays[layer.array].map((v) => (layer.pick ? layer.pick.map((i) => v[i]) : v));
        return {
          type: "scatter3d", mode: "markers", hoverinfo: "skip", x: layer.aside ? x.map((v) => v + aside) : x, y, z,
          marker: { size: layer.size, color: shade(layer.color), symbol: layer.ring ? "circle-open" : "circle", line: { width: 0 } },
        };
      });
      const axes = Object.fromEntries(["xaxis", "yaxis", "zaxis"].map((axis, k) => [axis, { visible: false, range: room[k] }]));
      const far = Math.max(...size), ratio = { x: size[0] / far, y: size[1] / far, z: size[2] / far };
      const camera = { up: { x: 0, y: 1, z: 0 }, eye: aside ? { x: 0.3, y: 0.35, z: 1.35 } : { x: 0.75, y: 0.48, z: 0.95 } };
      Plotly.react(plot, traces, {
        scene: { ...axes, aspectmode: "manual", aspectratio: ratio, camera, uirevision: "kept" }, uirevision: "kept",
        margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)",
      }, config);
      legend.replaceChildren();
      element(legend, "span", `${name}: ${shown.note}`, { className: "said" });
      for (const layer of shown.layers) {
        const key = element(legend, "span");
        element(key, "i").style = layer.ring ? `border: 2px solid ${shade(layer.color)}` : `background: ${shade(layer.color)}`;
        key.append(layer.name);
      }
    }
    // browsers keep few WebGL contexts: a scene out of sight gives its own back
    return { draw, drop: () => Plotly.purge(plot) };
  }

  // plotly.js takes most of a second to start: not before the page is open
  function start() {
    const source = document.getElementById("plotly");
    element(document.head, "script", source.textContent);
    source.remove();
  }

  const figures = new Map();
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) { figures.get(target)?.drop(); continue; }
      if (!window.Plotly) start();
      if (!figures.has(target)) {
        const data = JSON.parse(target.querySelector("script").textContent);
        figures.set(target, (target.className === "clouds" ? clouds : lines)(target, data));
      }
      figures.get(target).draw();
    }
  }, { rootMargin: "300px" });
  document.querySelectorAll("figure").forEach((figure) => watch.observe(figure));
  dark.addEventListener("change", () => figures.forEach((figure) => figure.draw()));
})();
