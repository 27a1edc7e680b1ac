"use strict";
// Values of points under the pointer, a finger or the arrow keys, and tables sorted by a column.
(() => {
  const tip = document.getElementById("tip");
  let shown = null; // the panel whose ring is shown

  function hide() {
    tip.hidden = true;
    if (shown) shown.ring.hidden = true;
    shown = null;
  }

  // A table of names and values: the axes first, then what the point is.
  function fill(panel, point, others) {
    const lines = [[panel.x || "x", point[2]], [panel.y || "y", point[3]]];
    const note = panel.notes[point[4]];
    for (const line of note ? note.split("\n") : []) lines.push(line.split("\t"));
    if (others > 0) lines.push(["", `and ${others} more here`]);
    tip.replaceChildren(document.createElement("dl"));
    for (const [name, value] of lines) {
      const dt = document.createElement("dt");
      const dd = document.createElement("dd");
      dt.textContent = name;
      dd.textContent = value;
      tip.firstChild.append(dt, dd);
    }
  }

  function show(panel, point) {
    const box = panel.over.getBoundingClientRect();
    const near = (other) =>
      Math.hypot((other[0] - point[0]) * box.width, (other[1] - point[1]) * box.height) < 200;
    if (shown !== panel) hide();
    shown = panel;
    fill(panel, point, panel.points.filter(near).length - 1);
    tip.hidden = false;
    // Where it stood before must not narrow it while it is measured.
    tip.style.left = tip.style.top = "0";
    panel.ring.hidden = false;
    panel.ring.style.left = point[0] + "%";
    panel.ring.style.top = point[1] + "%";
    const x = box.left + (point[0] / 100) * box.width;
    const y = box.top + (point[1] / 100) * box.height;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const above = y - tip.offsetHeight - 14;
    tip.style.left = Math.max(8, Math.min(x - tip.offsetWidth / 2, room)) + "px";
    tip.style.top = (above < 8 ? y + 14 : above) + "px";
  }

  // The point nearest to a place of the window, if it is near at all.
  function nearest(panel, event) {
    const box = panel.over.getBoundingClientRect();
    let best = null;
    let least = event.pointerType === "mouse" ? 24 : 40;
    for (const point of panel.points) {
      const dx = box.left + (point[0] / 100) * box.width - event.clientX;
      const dy = box.top + (point[1] / 100) * box.height - event.clientY;
      const distance = Math.hypot(dx, dy);
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  }

  function listen(over, panel) {
    panel.over = over;
    panel.ring = over.appendChild(document.createElement("span"));
    panel.ring.hidden = true;
    const ordered = [...panel.points].sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    let at = -1;
    const point = (event) => {
      const found = nearest(panel, event);
      if (!found) return hide();
      at = ordered.indexOf(found);
      show(panel, found);
    };
    over.addEventListener("pointermove", point);
    over.addEventListener("pointerdown", point);
    over.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    over.addEventListener("blur", hide);
    over.addEventListener("keydown", (event) => {
      const last = ordered.length - 1;
      const next = {
        ArrowRight: Math.min(at + 1, last), ArrowUp: Math.min(at + 1, last),
        ArrowLeft: Math.max(at - 1, 0), ArrowDown: Math.max(at - 1, 0), Home: 0, End: last,
      }[event.key];
      if (event.key === "Escape") hide();
      if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      at = next;
      show(panel, ordered[at]);
    });
  }

  // A figure's data are read when somebody first comes near it.
  for (const figure of document.querySelectorAll("figure.plots")) {
    let ready = false;
    const prepare = () => {
      if (ready) return;
      ready = true;
      const data = JSON.parse(figure.querySelector("script").textContent);
      figure.querySelectorAll(".plot").forEach((plot, number) => {
        const over = plot.querySelector(".over");
        if (over) listen(over, { notes: data.notes, ...data.panels[number] });
      });
    };
    for (const kind of ["pointerover", "pointerdown", "focusin"]) {
      figure.addEventListener(kind, prepare, { capture: true, passive: true });
    }
  }
  addEventListener("scroll", hide, { capture: true, passive: true });
  addEventListener("pointerdown", (event) => event.target.className !== "over" && hide());

  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.parentElement;
      const down = head.ariaSort === "ascending";
      const sign = down ? -1 : 1;
      const numbers = head.className === "n";
      const body = head.closest("table").tBodies[0];
      const value = (row) => row.cells[head.cellIndex].textContent;
      const order = (a, b) => {
        if (!numbers) return sign * a.localeCompare(b);
        // What is no number comes last.
        const [x, y] = [Number(a), Number(b)];
        return Number.isNaN(x) - Number.isNaN(y) || sign * (x - y) || 0;
      };
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.ariaSort = down ? "descending" : "ascending";
      body.append(...[...body.rows].sort((a, b) => order(value(a), value(b))));
    });
  }
})();
