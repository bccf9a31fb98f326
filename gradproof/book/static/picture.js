"use strict";
// The picture of an operator: its tensors as tables of numbers. Pointing at an element that is
// computed shows the terms of its sum; pointing at one that is given shows where it goes.

(() => {
  const { Machine, Refusal, integers } = gradproof;
  const AXES = 2; // the last ones are a table's rows and columns
  const BLOCKS = 6; // tables of one tensor
  const TERMS = 60; // terms that are written out
  const NO_HALO = { top: 0, bottom: 0, left: 0, right: 0 };

  // -- small helpers ----------------------------------------------------------------------------
  function make(tag, attributes = {}, ...children) {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes)) {
      if (k === "class") e.className = v;
      else if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
      else e.setAttribute(k, v);
    }
    e.append(...children);
    return e;
  }

  function shown(x) {
    if (Number.isInteger(x)) return String(x).replace("-", "−");
    if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "−∞";
    const text = Math.abs(x) < 1e-3 || Math.abs(x) >= 1e5 ? x.toExponential(2) : x.toPrecision(4);
    return text.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "").replace(/-/g, "−");
  }

  // An element's name without the axes of extent 1, as a lecture writes it.
  function named(tensor, place) {
    const kept = place.filter((_, k) => tensor.shape[k] > 1 || k >= place.length - AXES);
    const name = pretty(tensor.name);
    return kept.length ? `${name}(${kept.join(",").replace(/-/g, "−")})` : name;
  }

  function pretty(name) {
    return name.startsWith("grad_") ? `∂ℓ/∂${name.slice(5)}` : name;
  }

  // -- one tensor as tables -----------------------------------------------------------------------
  class Grid {
    // halo: the rows and columns around the tensor that are read as padding.
    constructor(tensor, title, owner, halo = NO_HALO) {
      Object.assign(this, { tensor, owner, cells: new Map(), padding: new Map() });
      const { shape } = tensor;
      const cut = Math.max(0, shape.length - AXES);
      const leading = shape.slice(0, cut);
      const rows = shape.length >= AXES ? shape[cut] : 1;
      const columns = shape.length ? shape[shape.length - 1] : 1;
      const blocks = leading.reduce((a, n) => a * n, 1);
      this.element = make("figure", { class: "grid" }, make("figcaption", {}, title));
      const many = make("div", { class: "blocks" });
      for (let b = 0; b < Math.min(blocks, BLOCKS); b++) {
        const table = make("table", { "aria-label": `${pretty(tensor.name)}` });
        if (blocks > 1) {
          const before = tensor.place(b * rows * columns).slice(0, cut);
          table.append(make("caption", {}, before.filter((_, k) => leading[k] > 1).join(",")));
        }
        const body = make("tbody");
        for (let r = -halo.top; r < rows + halo.bottom; r++) {
          const line = make("tr");
          for (let c = -halo.left; c < columns + halo.right; c++) {
            const inside = r >= 0 && r < rows && c >= 0 && c < columns;
            line.append(inside ? this.cell((b * rows + r) * columns + c) : this.outside(b, r, c));
          }
          body.append(line);
        }
        table.append(body);
        many.append(table);
      }
      this.element.append(many);
      if (blocks > BLOCKS) {
        this.element.append(make("p", { class: "note" }, `${BLOCKS} of ${blocks} maps are shown`));
      }
      this.first()?.setAttribute("tabindex", "0");
    }

    cell(offset) {
      const place = this.tensor.place(offset);
      const value = this.tensor.data[offset];
      const name = named(this.tensor, place);
      const button = make("button", {
        type: "button", tabindex: "-1", "aria-label": `${name} is ${shown(value)}`,
        onpointerenter: () => this.owner.point(this, offset),
        onfocus: () => this.owner.point(this, offset),
        onclick: () => this.owner.point(this, offset),
        onkeydown: (event) => this.move(event, offset),
      }, shown(value));
      this.cells.set(offset, button);
      return make("td", {}, button);
    }

    // An element of the padding: it is 0, or skipped by a maximum, and has no gradient.
    outside(block, r, c) {
      const td = make("td", { class: "halo" }, this.tensor.outside === "skip" ? "·" : "0");
      this.padding.set(`${block},${r},${c}`, td);
      return td;
    }

    first() { return this.cells.values().next().value; }

    move(event, offset) {
      const columns = this.tensor.shape.at(-1) || 1;
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
      const next = step && this.cells.get(offset + step);
      if (!next) return;
      event.preventDefault();
      for (const b of this.cells.values()) b.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    }

    mark(offset, css) { this.cells.get(offset)?.classList.add(css); }

    mark_outside(place, css) {
      const cut = Math.max(0, place.length - AXES);
      let block = 0;
      for (let k = 0; k < cut; k++) {
        if (place[k] < 0 || place[k] >= this.tensor.shape[k]) return; // a plane before or behind
        block = block * this.tensor.shape[k] + place[k];
      }
      const [r, c] = place.length >= AXES ? place.slice(cut) : [0, place[0]];
      this.padding.get(`${block},${r},${c}`)?.classList.add(css);
    }

    clear() {
      for (const e of [...this.cells.values(), ...this.padding.values()]) {
        e.classList.remove("target", "read", "reached", "tap");
      }
    }
  }

  // -- the picture ----------------------------------------------------------------------------------
  class Picture {
    constructor(root, data) {
      Object.assign(this, { root, data, maps: data.maps, apart: false, opened: {} });
      this.sizes = {};
      for (const s of data.sliders) for (const n of s.sizes) this.sizes[n] = s.value;
      this.scalars = { ...data.scalars };
      this.controls = make("div", { class: "controls" });
      this.message = make("p", { class: "refusal", role: "alert" });
      this.stage = make("div", { class: "stage" });
      this.terms = make("div", {
        class: "terms", role: "region", "aria-label": "the terms", "aria-live": "polite", tabindex: "0",
      });
      root.append(this.controls, this.message, this.player(), this.terms, this.stage);
      this.draw_controls();
      this.update();
    }

    // -- sliders ------------------------------------------------------------------------------------
    draw_controls() {
      this.controls.replaceChildren();
      const all = this.data.sliders.flatMap((s) => (
        this.apart ? s.sizes.map((n) => ({ ...s, label: n, sizes: [n] })) : [s]));
      for (const s of all) {
        const id = `size-${s.sizes.join("-")}`;
        const output = make("output", { for: id }, String(this.sizes[s.sizes[0]]));
        const input = make("input", {
          type: "range", id, min: s.low, max: s.high, value: this.sizes[s.sizes[0]],
          oninput: () => {
            for (const n of s.sizes) this.sizes[n] = Number(input.value);
            output.textContent = input.value;
            this.update();
          },
        });
        this.controls.append(make("div", { class: "slider" },
          make("label", { for: id }, s.label), input, output));
      }
      if (this.data.sliders.some((s) => s.sizes.length > 1)) {
        const box = make("input", {
          type: "checkbox", id: "apart",
          onchange: () => { this.apart = box.checked; this.draw_controls(); },
        });
        box.checked = this.apart;
        this.controls.append(make("div", { class: "slider" }, box,
          make("label", { for: "apart" }, "each axis on its own")));
      }
    }

    // -- numbers --------------------------------------------------------------------------------------
    update() {
      let machine;
      try {
        machine = this.compute();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        this.message.textContent = `${error.message}: the picture is that of the sizes before.`;
        return;
      }
      this.message.textContent = "";
      this.machine = machine;
      this.draw();
    }

    compute() {
      const { maps } = this;
      const m = new Machine(maps, this.sizes, this.scalars);
      let seed = 1;
      for (const n of maps.inputs) m.give(n, labelled(maps.tensors[n], m, integers(seed++)));
      m.run(maps.forward);
      for (const n of maps.outputs) {
        if (maps.tensors[`grad_${n}`]) m.give(`grad_${n}`, integers(seed++));
      }
      m.run(maps.backward);
      m.closed = maps.closed.map((c) => ({ ...c, stages: m.compose(c) }));
      return m;
    }

    // -- drawing --------------------------------------------------------------------------------------
    draw() {
      const { maps, machine } = this;
      this.grids = {};
      this.survey();
      this.stage.replaceChildren();
      const computed = new Set(maps.forward.map((e) => e.target));
      this.panel("Forward", [...maps.inputs, ...computed]);
      const gradients = maps.backward.map((e) => e.target);
      this.panel("Gradients", [...maps.outputs.map((n) => `grad_${n}`), ...gradients]);
      machine.closed.forEach((c, k) => this.closed_panel(c, k === 0));
      this.mark_unseen();
      this.fill_player([...computed, ...gradients]);
      this.step(0);
    }

    panel(title, names) {
      const row = make("div", { class: "row" });
      for (const n of names) {
        if (!(n in this.machine.tensors) || n in this.grids) continue;
        this.grids[n] = new Grid(this.machine.tensors[n], this.title(n), this, this.halo[n]);
        row.append(this.grids[n].element);
      }
      this.stage.append(make("section", { class: "panel" }, make("h3", {}, title), row));
    }

    title(n) {
      const bare = n.replace(/^grad_/, "");
      const word = this.maps.names[bare];
      const shape = this.machine.tensors[n].shape.join(" × ");
      return `${pretty(n)}${word ? `, ${n === bare ? "" : "gradient of "}${word}` : ""}: ${shape || "one number"}`;
    }

    // A closed form: what each named operator makes of its arguments, up to the gradient.
    closed_panel(closed, open) {
      const row = make("div", { class: "row" });
      for (const s of closed.stages) {
        const parameters = Object.entries(s.own).filter(([n]) => closed.named[s.name].parameters.includes(n));
        const inner = parameters.map(([n, v]) => `${n}=${v}`).join(", ").replace(/-/g, "−");
        const grid = new Grid(s.tensor, `${s.name}${inner ? ` (${inner})` : ""}: ${s.statement}`, this);
        grid.stage = s;
        for (const [offset, button] of grid.cells) {
          const { terms, rest } = s.within.terms(s.equation, s.tensor.place(offset));
          const inside = [...rest, ...terms.flatMap((t) => t.reads)].some((r) => r.inside);
          if (!inside) button.classList.add("inserted");
        }
        this.grids[s.tensor.name + closed.claim] = grid;
        row.append(grid.element);
      }
      const words = `${pretty(closed.target)} as a closed form: ${closed.claim}`;
      const details = make("details", { class: "panel" }, make("summary", {}, words), row);
      details.open = this.opened[closed.claim] ?? open;
      details.addEventListener("toggle", () => { this.opened[closed.claim] = details.open; });
      this.stage.append(details);
    }

    // What the forward pass reads: elements, padding around them, and sums without a term.
    survey() {
      Object.assign(this, { seen: {}, halo: {}, empty: [] });
      for (const n of this.maps.inputs) this.seen[n] = new Set();
      for (const e of this.maps.forward) {
        const t = this.machine.tensors[e.target];
        for (let at = 0; at < t.data.length; at++) {
          const { terms, rest } = this.machine.terms(e, t.place(at));
          const reads = [...rest, ...terms.flatMap((term) => term.reads)];
          for (const r of reads) this.note(r);
          if (!reads.some((r) => r.inside)) this.empty.push([e.target, at]);
        }
      }
    }

    note(r) {
      const t = this.machine.tensors[r.tensor];
      if (r.inside) {
        this.seen[r.tensor]?.add(t.offset(r.place));
        return;
      }
      const rank = t.shape.length;
      const h = this.halo[r.tensor] ||= { ...NO_HALO };
      h.left = Math.max(h.left, -r.place[rank - 1]);
      h.right = Math.max(h.right, r.place[rank - 1] - t.shape[rank - 1] + 1);
      if (rank < AXES) return;
      h.top = Math.max(h.top, -r.place[rank - 2]);
      h.bottom = Math.max(h.bottom, r.place[rank - 2] - t.shape[rank - 2] + 1);
    }

    mark_unseen() {
      for (const [n, at] of this.empty) this.grids[n].mark(at, "unseen");
      for (const n of this.maps.inputs) {
        for (const [offset, button] of this.grids[n].cells) {
          if (!this.seen[n].has(offset)) {
            button.classList.add("unseen");
            button.setAttribute("aria-label", `${button.getAttribute("aria-label")}, which no output reads`);
          }
        }
      }
    }

    // -- pointing ---------------------------------------------------------------------------------------
    equation(name) {
      return [...this.maps.forward, ...this.maps.backward].find((e) => e.target === name);
    }

    point(grid, offset) {
      for (const g of Object.values(this.grids)) g.clear();
      grid.mark(offset, "target");
      if (grid.stage) return this.show_stage(grid, offset);
      const e = this.equation(grid.tensor.name);
      return e ? this.show_sum(grid, e, offset) : this.show_influence(grid, offset);
    }

    show_sum(grid, e, offset) {
      const place = grid.tensor.place(offset);
      const { value, terms, rest } = this.machine.terms(e, place);
      for (const r of [...rest, ...terms.flatMap((t) => t.reads)]) this.mark_read(r, "read");
      const lines = terms.map((t) => this.product(t));
      const factors = rest.map((r) => `${this.name_of(r)} = ${shown(r.value)}`);
      this.tell(`${named(grid.tensor, place)} = ${shown(value)}`, lines, factors);
    }

    show_stage(grid, offset) {
      const { stage } = grid;
      const place = stage.tensor.place(offset);
      const { value, terms, rest } = stage.within.terms(stage.equation, place);
      const reads = [...rest, ...terms.flatMap((t) => t.reads)];
      const source = (name) => stage.inputs.find((t) => t.name === name);
      for (const r of reads.filter((x) => x.inside)) {
        const t = source(r.tensor);
        for (const g of Object.values(this.grids)) if (g.tensor === t) g.mark(t.offset(r.place), "read");
      }
      const whole = terms.filter((t) => t.reads.every((r) => r.inside));
      const lines = whole.map((t) => this.product(t, source));
      this.tell(`${stage.name}(${place.join(",")}) = ${shown(value)}`, lines, []);
    }

    show_influence(grid, offset) {
      const name = grid.tensor.name;
      const place = grid.tensor.place(offset);
      const lines = [];
      const equations = name.startsWith("grad_") ? this.maps.backward : this.maps.forward;
      for (const e of equations) {
        const t = this.machine.tensors[e.target];
        for (let at = 0; at < t.data.length; at++) {
          const { terms, rest } = this.machine.terms(e, t.place(at));
          for (const term of [...terms, { reads: rest }]) {
            if (!term.reads.some((r) => r.tensor === name && same(r.place, place))) continue;
            this.grids[e.target]?.mark(at, "reached");
            const others = term.reads.filter((r) => r.tensor !== name || !same(r.place, place));
            for (const r of others) this.mark_read(r, "tap");
            const through = others.map((r) => this.name_of(r)).join("·");
            lines.push(`${named(t, t.place(at))}${through ? ` through ${through}` : ""}`);
          }
        }
      }
      const many = lines.length === 1 ? "one term" : `${lines.length} terms`;
      const title = lines.length ? `${named(grid.tensor, place)} is in ${many}` :
        `${named(grid.tensor, place)} is in no term: its gradient is 0`;
      this.tell(title, lines, []);
    }

    mark_read(r, css) {
      const grid = this.grids[r.tensor];
      if (!r.inside) grid?.mark_outside(r.place, css);
      else grid?.mark(grid.tensor.offset(r.place), css);
    }

    name_of(r) { return named(this.machine.tensors[r.tensor], r.place); }

    // A term with its numbers. source: name -> tensor, for the stages of a closed form.
    product(term, source = (name) => this.machine.tensors[name]) {
      const names = term.reads.map((r) => named(source(r.tensor), r.place)).join("·");
      const numbers = term.reads.map((r) => (r.value < 0 ? `(${shown(r.value)})` : shown(r.value)));
      return term.reads.length > 1 ? `${names} = ${numbers.join("·")} = ${shown(term.value)}` :
        `${names} = ${shown(term.value)}`;
    }

    tell(title, lines, factors) {
      const list = make("ol");
      for (const line of lines.slice(0, TERMS)) list.append(make("li", {}, line));
      this.terms.replaceChildren(make("p", { class: "sum" }, title), list);
      if (factors.length) this.terms.append(make("p", { class: "note" }, factors.join(", ")));
      if (lines.length > TERMS) {
        this.terms.append(make("p", { class: "note" }, `${lines.length - TERMS} more terms`));
      }
    }

    // -- step by step -------------------------------------------------------------------------------------
    player() {
      this.choice = make("select", { id: "step-through", onchange: () => { this.at = 0; this.step(0); } });
      const button = (text, label, work) => make("button", { type: "button", "aria-label": label, onclick: work }, text);
      this.playing = button("▶", "play", () => this.play());
      return make("div", { class: "player" },
        make("label", { for: "step-through" }, "step through"), this.choice,
        button("|◀", "first element", () => { this.at = 0; this.step(0); }),
        button("◀", "previous element", () => this.step(-1)),
        button("▶|", "next element", () => this.step(1)), this.playing);
    }

    fill_player(names) {
      const before = this.choice.value;
      this.choice.replaceChildren(...[...new Set(names)].map((n) => make("option", { value: n }, pretty(n))));
      if (names.includes(before)) this.choice.value = before;
      this.at = 0;
    }

    step(by) {
      const grid = this.grids[this.choice.value];
      if (!grid) return;
      const count = grid.cells.size;
      this.at = ((this.at + by) % count + count) % count;
      this.point(grid, this.at);
    }

    play() {
      if (this.timer) {
        clearInterval(this.timer);
        this.timer = null;
      } else {
        this.timer = setInterval(() => this.step(1), 700);
      }
      this.playing.textContent = this.timer ? "⏸" : "▶";
      this.playing.setAttribute("aria-label", this.timer ? "pause" : "play");
    }
  }

  // Labels are integers below their number of values.
  function labelled(tensor, machine, numbers) {
    if (tensor.dtype !== "int") return numbers;
    const values = tensor.values === null ? 2 : machine.value(tensor.values, machine.names);
    return (count) => numbers(count).map((x) => ((x % values) + values) % values);
  }

  function same(a, b) { return a.length === b.length && a.every((x, k) => x === b[k]); }

  document.addEventListener("DOMContentLoaded", () => {
    const root = document.getElementById("picture");
    if (!root) return;
    const data = JSON.parse(document.getElementById("picture-data").textContent);
    gradproof.picture = new Picture(root, data);
  });
})();
