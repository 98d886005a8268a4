// Draws each chart when it comes near the screen, and all of them before printing.
"use strict";
(() => {
  const PAPER = {wide: 700, narrow: 335};  // px, the widths of charts on paper
  const waiting = new Set(document.querySelectorAll("figure.chart"));
  const settings = {responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"]};

  function draw(figure) {
    if (!waiting.delete(figure)) return;
    const chart = JSON.parse(figure.querySelector("script").textContent);
    Plotly.newPlot(figure.querySelector(".plot"), chart.data, chart.layout, settings);
  }

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        near.unobserve(entry.target);
        draw(entry.target);
      }
    }
  }, {rootMargin: "400px"});
  waiting.forEach((figure) => near.observe(figure));

  function resize(paper) {
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      const width = plot.closest(".wide") ? PAPER.wide : PAPER.narrow;
      Plotly.relayout(plot, paper ? {width: width, autosize: false} : {width: null, autosize: true});
    }
  }
  addEventListener("beforeprint", () => {
    waiting.forEach(draw);
    resize(true);
  });
  addEventListener("afterprint", () => resize(false));
})();
