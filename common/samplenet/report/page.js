"use strict";
// Draws each <figure> when it comes into view, in the page's light or dark colours.
// The JSON in a figure is the data and layout that plotly.js takes.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const config = { displayModeBar: false, responsive: true, scrollZoom: false };
  const root = getComputedStyle(document.documentElement);
  const style = (name) => root.getPropertyValue(name).trim();

  function shade(color) {
    if (color === "black") return style("--ink");
    const hex = dark.matches && /^#(..)(..)(..)$/.exec(color);
    if (!hex) return color;
    return `rgb(${hex.slice(1).map((part) => Math.round(parseInt(part, 16) * 0.72 + 70))})`;
  }

  function themed({ data, layout }) {
    const paint = (part) => part && { ...part, color: shade(part.color) };
    for (const trace of data) {
      trace.line = paint(trace.line);
      trace.marker = paint(trace.marker);
    }
    const line = style("--line"), ink = style("--ink");
    const lines = { gridcolor: line, linecolor: line, zeroline: false, fixedrange: touch };
    for (const name of ["xaxis", "yaxis"]) Object.assign(layout[name] ?? {}, lines);
    const box = { bgcolor: style("--page"), bordercolor: line, font: { color: ink, size: 12 } };
    for (const menu of layout.updatemenus) Object.assign(menu, box);
    const family = getComputedStyle(document.body).fontFamily, clear = "rgba(0,0,0,0)";
    Object.assign(layout, {
      uirevision: "kept", paper_bgcolor: clear, plot_bgcolor: clear,
      dragmode: layout.scene ? "orbit" : touch ? false : "zoom",
      font: { family, size: 12, color: style("--soft") },
    });
    return { data, layout };
  }

  // plotly.js takes most of a second to start: not before a figure comes into view
  function start() {
    const source = document.getElementById("plotly"), script = document.createElement("script");
    script.textContent = source.textContent;
    source.remove();
    document.head.append(script);
  }

  const figures = new Map(); // what each figure shows, with the choices of its menus
  const plot = (figure) => figure.querySelector(".plot");
  const read = (figure) => themed(JSON.parse(figure.querySelector("script").textContent));

  function draw(figure) {
    const { data, layout } = figures.get(figure);
    Plotly.react(plot(figure), data, layout, config);
  }

  // browsers keep few WebGL contexts: a scene out of sight gives its own back
  function drop(figure) {
    const { data, layout } = plot(figure);
    if (figure.className !== "clouds" || !data) return;
    figures.set(figure, { data, layout });
    Plotly.purge(plot(figure));
  }

  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) { drop(target); continue; }
      if (!window.Plotly) start();
      if (!figures.has(target)) figures.set(target, read(target));
      draw(target);
    }
  }, { rootMargin: "300px" });
  for (const figure of document.querySelectorAll("figure")) watch.observe(figure);
  dark.addEventListener("change", () => {
    for (const figure of figures.keys()) {
      figures.set(figure, read(figure));
      draw(figure);
    }
  });
})();
