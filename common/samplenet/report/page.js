"use strict";
// Draws each <figure> when it comes into view, in the page's light or dark colours; its data is what plotly.js takes.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)"), touch = matchMedia("(pointer: coarse)").matches;
  const config = { displayModeBar: false, responsive: true, scrollZoom: false };
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function shade(color) {
    if (color === "black") return style("--ink");
    const parts = dark.matches && /^#(..)(..)(..)$/.exec(color);
    return parts ? `rgb(${parts.slice(1).map((part) => Math.round(parseInt(part, 16) * 0.72 + 70))})` : color;
  }

  function themed({ data, layout }) {
    const paint = (part) => part && { ...part, color: shade(part.color) };
    const lines = { gridcolor: style("--line"), linecolor: style("--line"), zeroline: false, fixedrange: touch };
    const axes = layout.scene ? {} : { xaxis: { ...layout.xaxis, ...lines }, yaxis: { ...layout.yaxis, ...lines } };
    const menus = layout.updatemenus.map((menu) => ({ ...menu, bgcolor: style("--page"), bordercolor: style("--line"), font: { color: style("--ink"), size: 12 } }));
    return {
      data: data.map((trace) => ({ ...trace, line: paint(trace.line), marker: paint(trace.marker) })),
      layout: {
        ...layout, ...axes, updatemenus: menus, uirevision: "kept",
        dragmode: layout.scene ? "orbit" : touch ? false : "zoom", paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: style("--soft") },
      },
    };
  }

  // plotly.js takes most of a second to start: not before the page is open
  function start() {
    const source = document.getElementById("plotly"), script = document.createElement("script");
    script.textContent = source.textContent;
    source.remove();
    document.head.append(script);
  }

  const figures = new Map();  // what each figure shows, its menus as they stand
  const draw = (figure) => Plotly.react(figure.querySelector(".plot"), figures.get(figure).data, figures.get(figure).layout, config);
  const fresh = (figure) => figures.set(figure, themed(JSON.parse(figure.querySelector("script").textContent)));

  // browsers keep few WebGL contexts: a scene out of sight gives its own back
  function drop(figure) {
    const plot = figure.querySelector(".plot");
    if (!figures.has(figure) || figure.className !== "clouds" || !plot.data) return;
    figures.set(figure, { data: plot.data, layout: plot.layout });
    Plotly.purge(plot);
  }

  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) { drop(target); continue; }
      if (!window.Plotly) start();
      if (!figures.has(target)) fresh(target);
      draw(target);
    }
  }, { rootMargin: "300px" });
  document.querySelectorAll("figure").forEach((figure) => watch.observe(figure));
  dark.addEventListener("change", () => { for (const figure of figures.keys()) { fresh(figure); draw(figure); } });
})();
