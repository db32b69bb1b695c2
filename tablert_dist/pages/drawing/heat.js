"use strict";
// The tables, each built when it is first opened. One cell is in the tab order; the arrow keys move from there.
(() => {
  const block = document.getElementById("tags");
  if (!block) return;
  const tags = JSON.parse(block.textContent);
  const COLOURS = 8;

  const add = (parent, name, text = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    parent.append(made);
    return made;
  };

  // What a cell says, in words.
  function says(table, i, j, tag, share) {
    const p = (share / 1000).toFixed(3);
    if (i === j) return `${table.words[i]}: ${tag.name} ${p}`;
    return `${table.words[i]} ${tag.arrow} ${table.words[j]}: ${tag.name} ${p}`;
  }

  function fill(cell, table, i, j, at) {
    const kind = i === j ? "entity" : "relation";
    const k = i === j ? i : at;
    const tag = tags[kind][table[kind][k]], share = table[`${kind}_p`][k];
    Object.assign(cell.dataset, { i, j });
    cell.title = says(table, i, j, tag, share);
    cell.setAttribute("aria-label", cell.title);
    cell.tabIndex = -1;
    if (i === j) {
      cell.className = "diagonal";
      cell.textContent = tag.short;
    }
    if (tag.colour !== null && tag.colour !== undefined) {
      cell.classList.add(`c${tag.colour % COLOURS}`);
      cell.style.setProperty("--share", `${(i === j ? 0.045 : 0.1) * share}%`);
    }
  }

  function build(details) {
    const table = JSON.parse(details.querySelector("script").textContent);
    if (!tags.relation[1]) table.relation = [];
    const made = add(details.querySelector(".scroll"), "table");
    made.setAttribute("role", "grid");
    made.setAttribute("aria-label", details.querySelector("summary").textContent);
    const top = add(add(made, "thead"), "tr"), body = add(made, "tbody");
    add(top, "td");
    for (const word of table.words) add(top, "th", word).scope = "col";
    let at = 0;
    table.words.forEach((word, i) => {
      const line = add(body, "tr");
      add(line, "th", word).scope = "row";
      table.words.forEach((_, j) => {
        const cell = add(line, "td");
        if (i === j || (i < j && table.relation.length)) fill(cell, table, i, j, at);
        if (i < j) at += 1;
      });
    });
    const cell = (i, j) => made.querySelector(`td[data-i="${i}"][data-j="${j}"]`);
    for (const [i, j] of table.read) {
      const read = cell(i, j);
      read.classList.add("read");
      read.title += " (read as a relation)";
      read.setAttribute("aria-label", read.title);
    }
    cell(0, 0).tabIndex = 0;
    follow(details, made, cell);
  }

  // Say the cell under the pointer or in focus below the table, where a tooltip does not reach.
  function follow(details, made, cell) {
    const readout = details.querySelector(".readout");
    readout.textContent = "Cells above the diagonal: the likeliest relation of two words; outlined: read as a relation.";
    const columns = made.tHead.rows[0].cells, rows = made.tBodies[0].rows;
    const show = (target) => {
      const { i, j } = target.dataset;
      if (i === undefined) return;
      readout.textContent = target.title;
      made.querySelectorAll("th.on").forEach((head) => head.classList.remove("on"));
      columns[+j + 1].classList.add("on");
      rows[+i].cells[0].classList.add("on");
    };
    made.addEventListener("mouseover", (event) => show(event.target));
    made.addEventListener("focusin", (event) => show(event.target));
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    made.addEventListener("keydown", (event) => {
      const move = moves[event.key], here = event.target.dataset;
      const next = move && here.i !== undefined && cell(+here.i + move[0], +here.j + move[1]);
      if (!move) return;
      event.preventDefault();
      if (!next) return;
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }

  for (const details of document.querySelectorAll("details.heat")) {
    const open = () => details.open && !details.querySelector("table") && build(details);
    details.addEventListener("toggle", open);
    open();
  }
})();
