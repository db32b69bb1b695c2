"use strict";
// Relations as arcs above the text. The browser wraps the lines; an arc between two lines is drawn as two pieces,
// each with its label. First every row is measured and given room above its lines, then all are drawn.
(() => {
  const STEP = 19, FOOT = 13, BEND = 7, SPREAD = 10, NS = "http://www.w3.org/2000/svg";
  const pen = document.createElement("canvas").getContext("2d");
  // As in page.css.
  pen.font = '600 11.5px system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif';
  const widthOf = (text) => pen.measureText(text).width + 10;

  // The rectangle an arc ends at: the last line of a mark, where its label is.
  function anchors(stage) {
    const box = stage.getBoundingClientRect();
    const found = new Map();
    for (const mark of stage.querySelectorAll("mark")) {
      const rect = [...mark.getClientRects()].pop();
      if (!rect || !rect.width) return null;
      found.set(+mark.dataset.mark, { mark, left: rect.left - box.left, width: rect.width,
        top: rect.top - box.top, bottom: rect.bottom - box.top, ends: [] });
    }
    let line = -1, bottom = -Infinity;
    for (const a of [...found.values()].sort((p, q) => p.bottom - q.bottom)) {
      if (a.bottom - bottom > 12) { line += 1; bottom = a.bottom; }
      a.line = line;
    }
    return found;
  }

  // Arcs to the left end left of those to the right, and the longer ones outside, so that they nest.
  function spread(found, arcs) {
    const middle = (a) => a.line * 1e5 + a.left + a.width / 2;
    for (const arc of arcs) {
      const [head, tail] = [found.get(arc.head), found.get(arc.tail)];
      head.ends.push({ arc, role: "headX", far: middle(tail) - middle(head) });
      tail.ends.push({ arc, role: "tailX", far: middle(head) - middle(tail) });
    }
    for (const a of found.values()) {
      const side = (e) => (e.far > 0 ? 1 : 0);
      a.ends.sort((p, q) => side(p) - side(q) || Math.abs(q.far) * (side(q) ? 1 : -1) - Math.abs(p.far) * (side(p) ? 1 : -1));
      const gap = Math.min(SPREAD, a.width / (a.ends.length + 1));
      a.ends.forEach((end, i) => {
        end.arc[end.role] = a.left + a.width / 2 + (i - (a.ends.length - 1) / 2) * gap;
      });
    }
  }

  // An arc as pieces on lines; `open` is the side where it goes on on another line.
  function pieces(arc, found, width, backwards) {
    const [head, tail] = [found.get(arc.head), found.get(arc.tail)];
    if (head.line === tail.line) {
      return [{ arc, line: head.line, x1: arc.headX, x2: arc.tailX, head, tail }];
    }
    const forth = (head.line < tail.line) !== backwards;
    return [
      { arc, line: head.line, x1: arc.headX, x2: forth ? width : 0, head },
      { arc, line: tail.line, x1: forth ? 0 : width, x2: arc.tailX, tail },
    ];
  }

  // The middle of a label: on its line, or, where it would cover the line, beside the line's right or left end.
  function beside(low, high, label, width) {
    const within = (x) => Math.max(label / 2, Math.min(width - label / 2, x));
    if (high - low >= label + 4 * BEND) return within((low + high) / 2);
    if (high + 4 + label <= width) return high + 4 + label / 2;
    if (low - 4 - label >= 0) return low - 4 - label / 2;
    return within((low + high) / 2);
  }

  // Short pieces lie low; each lies above all that it crosses or encloses.
  function stack(list, width) {
    const depth = new Map();
    for (const piece of list) {
      const label = widthOf(piece.arc.label);
      const [low, high] = [Math.min(piece.x1, piece.x2), Math.max(piece.x1, piece.x2)];
      piece.label = beside(low, high, label, width);
      piece.from = Math.min(low, piece.label - label / 2) - 3;
      piece.to = Math.max(high, piece.label + label / 2) + 3;
    }
    const placed = [];
    for (const piece of [...list].sort((p, q) => p.to - p.from - (q.to - q.from))) {
      const under = placed.filter((p) => p.line === piece.line && p.from < piece.to && piece.from < p.to);
      piece.level = under.reduce((most, p) => Math.max(most, p.level + 1), 0);
      placed.push(piece);
      depth.set(piece.line, Math.max(depth.get(piece.line) ?? 0, piece.level + 1));
    }
    return depth;
  }

  function plan(row) {
    const stage = row.querySelector(".stage"), text = stage.querySelector(".text");
    const items = [...row.querySelectorAll(".triples li")];
    if (!items.length || !stage.clientWidth) return null;
    const found = anchors(stage);
    if (!found) return null;
    const arcs = items.map((item) => ({ item, head: +item.dataset.head, tail: +item.dataset.tail, label: item.dataset.label }));
    spread(found, arcs);
    const backwards = getComputedStyle(text).direction === "rtl";
    const list = arcs.flatMap((arc) => pieces(arc, found, stage.clientWidth, backwards));
    return { stage, found, arcs, list, depth: stack(list, stage.clientWidth) };
  }

  const node = (name, attributes, parent) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  };

  function path(piece, top) {
    const y = top - FOOT - piece.level * STEP;
    const way = piece.x2 < piece.x1 ? -1 : 1;
    const bend = Math.min(BEND, Math.abs(piece.x2 - piece.x1) / 2);
    const up = piece.head ? `M${piece.x1} ${top - 1}V${y + bend}Q${piece.x1} ${y} ${piece.x1 + way * bend} ${y}` : `M${piece.x1} ${y}`;
    const down = piece.tail ? `H${piece.x2 - way * bend}Q${piece.x2} ${y} ${piece.x2} ${y + bend}V${top - 5}` : `H${piece.x2}`;
    return { y, d: up + down };
  }

  function paint({ stage, found, arcs, list, size }) {
    const svg = node("svg", { ...size, role: "group", "aria-label": "relations" }, stage);
    const groups = new Map();
    for (const arc of arcs) {
      const group = node("g", { class: arc.item.className, role: "img", "aria-label": arc.item.dataset.says }, svg);
      node("title", {}, group).textContent = arc.item.dataset.says;
      groups.set(arc, group);
      const parts = [group, arc.item, found.get(arc.head).mark, found.get(arc.tail).mark];
      const light = (on) => () => parts.forEach((part) => part.classList.toggle("on", on));
      group.onmouseenter = arc.item.onmouseenter = light(true);
      group.onmouseleave = arc.item.onmouseleave = light(false);
    }
    for (const piece of list) {
      const group = groups.get(piece.arc), end = piece.tail ?? piece.head;
      const { y, d } = path(piece, end.top);
      node("path", { d }, group);
      if (piece.tail && !("symmetric" in piece.arc.item.dataset)) {
        node("polygon", { points: `${piece.x2 - 4},${end.top - 7} ${piece.x2 + 4},${end.top - 7} ${piece.x2},${end.top}` }, group);
      }
      const width = widthOf(piece.arc.label);
      node("rect", { x: piece.label - width / 2, y: y - 8, width, height: 16 }, group);
      node("text", { x: piece.label, y: y + 4 }, group).textContent = piece.arc.label;
    }
  }

  function draw() {
    document.querySelectorAll(".stage svg").forEach((svg) => svg.remove());
    const plans = [...document.querySelectorAll(".row")].map(plan).filter(Boolean);
    for (const { found, depth } of plans) {
      for (const { mark, line } of found.values()) {
        const levels = depth.get(line) ?? 0;
        mark.querySelector(".strut").style.height = levels ? `${24 + FOOT + levels * STEP}px` : "0";
      }
    }
    // The room moved the lines: take their new heights, all before anything is drawn, as each drawing undoes the layout.
    for (const plan of plans) {
      const { stage, found } = plan, again = anchors(stage);
      plan.size = { width: stage.clientWidth, height: stage.clientHeight };
      for (const [key, anchor] of found) anchor.top = again.get(key).top;
    }
    plans.forEach(paint);
  }

  const box = document.getElementById("errors"), main = document.querySelector("main");
  function filter() {
    if (!box) return;
    main.classList.toggle("errors-only", box.checked);
    const all = main.querySelectorAll(".card").length, clean = main.querySelectorAll(".clean").length;
    document.getElementById("shown").textContent = `${box.checked ? all - clean : all} of ${all} sentences`;
  }
  box?.addEventListener("change", () => { filter(); draw(); });
  filter();
  draw();
  let width = main.clientWidth, waiting = 0;
  const redraw = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(draw); };
  new ResizeObserver(() => { if (main.clientWidth !== width) { width = main.clientWidth; redraw(); } }).observe(main);
  document.fonts.ready.then(redraw);
  addEventListener("beforeprint", draw);
  addEventListener("afterprint", draw);
})();
