"use strict";
(() => {
  const places = [...document.querySelectorAll("[data-chart]")];
  const isTouched = window.matchMedia("(pointer: coarse)").matches;
  const paperWidth = 680;
  const config = {
    responsive: true,
    displayModeBar: false,
    scrollZoom: false,
  };

  const draw = (place) => {
    const figure = JSON.parse(document.getElementById(place.dataset.chart).textContent);
    // Where the legend has no room side by side it stands in lines, which the picture must not pay.
    if (place.clientWidth < 520 && figure.layout.showlegend) {
      const entries = figure.data.filter((trace) => trace.showlegend !== false).length;
      figure.layout.height += 19 * Math.max(0, entries - 1);
      place.style.height = `${figure.layout.height}px`;
    }
    // A finger that means to scroll the page must not zoom a figure instead.
    if (isTouched) figure.layout.dragmode = false;
    return Plotly.newPlot(place, figure.data, figure.layout, config);
  };

  // One at a time, and the browser's turn in between: the page answers from the first moment on.
  const drawAll = async () => {
    for (const place of places) {
      await draw(place);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    document.documentElement.dataset.drawn = String(places.length);
  };

  const widths = (width) => {
    for (const place of places) {
      if (place.layout) {
        const isSmall = place.closest(".small") !== null;
        Plotly.relayout(place, width === null ? { autosize: true, width: null } : { width: isSmall ? width / 2 - 10 : width });
      }
    }
  };
  window.addEventListener("beforeprint", () => widths(paperWidth));
  window.addEventListener("afterprint", () => widths(null));

  drawAll();
})();
