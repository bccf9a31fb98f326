"use strict";
// Evaluates a system of equations at given sizes, as derive/machine.py does. It knows index maps,
// sums and guards; what operator it computes it does not know.

const gradproof = {};

(() => {
  const FUNCTIONS = {
    exp: Math.exp, log: Math.log, tanh: Math.tanh, sqrt: Math.sqrt, abs: Math.abs, pow: Math.pow,
    inv: (x) => 1 / x, erf,
  };
  const BINARY = {
    "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b,
    "//": (a, b) => Math.floor(a / b), "%": (a, b) => a - b * Math.floor(a / b), "**": Math.pow,
    "==": (a, b) => a === b, "!=": (a, b) => a !== b, "<": (a, b) => a < b,
    "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
  };

  // erf(x) = 2/sqrt(pi) * sum of (-1)^k x^(2k+1) / (k! (2k+1)); beyond 5 it is 1 to 1e-11
  function erf(x) {
    if (Math.abs(x) > 5) return Math.sign(x);
    let term = x, sum = x;
    for (let k = 1; k < 200; k++) {
      term *= -x * x / k;
      sum += term / (2 * k + 1);
    }
    return 2 / Math.sqrt(Math.PI) * sum;
  }

  class Tensor {
    constructor(name, shape, outside = "forbidden") {
      Object.assign(this, { name, shape, outside });
      this.data = new Float64Array(shape.reduce((a, n) => a * n, 1));
    }

    // The element's number in row-major order, or -1 outside.
    offset(place) {
      let at = 0;
      for (let k = 0; k < place.length; k++) {
        if (place[k] < 0 || place[k] >= this.shape[k]) return -1;
        at = at * this.shape[k] + place[k];
      }
      return at;
    }

    place(offset) {
      const out = [];
      for (let k = this.shape.length - 1; k >= 0; k--) {
        out.unshift(offset % this.shape[k]);
        offset = Math.floor(offset / this.shape[k]);
      }
      return out;
    }
  }

  class Machine {
    // maps: the page's data. sizes, scalars: name -> number. Throws a Refusal where they do not fit.
    constructor(maps, sizes, scalars) {
      this.maps = maps;
      this.names = { pi: Math.PI, ...sizes, ...scalars };
      this.tensors = {};
      this.named = {};
      this.reads = null; // a list while reads are listened to
      for (const [guard, message] of maps.requires) {
        if (!this.value(guard, this.names)) throw new Refusal(message);
      }
      for (const [name, e] of maps.derived) this.names[name] = this.value(e, this.names);
    }

    shapeOf(name) {
      return this.maps.tensors[name].shape.map((n) => this.value(n, this.names));
    }

    give(name, numbers) {
      const t = new Tensor(name, this.shapeOf(name), this.maps.tensors[name].outside);
      t.data.set(numbers(t.data.length));
      this.tensors[name] = t;
    }

    run(equations) {
      for (const e of equations) {
        const outside = this.maps.tensors[e.target].outside;
        const t = new Tensor(e.target, this.shapeOf(e.target), outside);
        for (let at = 0; at < t.data.length; at++) t.data[at] = this.element(e, t.place(at));
        this.tensors[e.target] = t;
      }
    }

    element(e, place) {
      const names = { ...this.names };
      e.indices.forEach((i, k) => { names[i] = place[k]; });
      return this.value(e.body, names);
    }

    // The terms of an element: of every reduction's term, or of the whole, the reads and the value.
    terms(e, place) {
      this.listening = [];
      this.reads = [];
      const value = this.element(e, place);
      const rest = this.reads;
      const terms = this.listening;
      this.listening = this.reads = null;
      return { value, terms, rest };
    }

    value(node, names) {
      if (typeof node === "number") return node;
      if (typeof node === "string") {
        if (node in names) return names[node];
        if (node in this.tensors) return this.tensors[node].data[0];
        throw new Error(`nothing gives ${node} a value`);
      }
      const [op, ...args] = node;
      if (op in BINARY) return BINARY[op](this.value(args[0], names), this.value(args[1], names));
      switch (op) {
        case "and": return args.every((a) => this.value(a, names));
        case "or": return args.some((a) => this.value(a, names));
        case "where": return this.value(this.value(args[0], names) ? args[1] : args[2], names);
        case "at": return this.read(this.tensor(args[0], names), args[1], names);
        case "call": return this.call(args[0], args[1], names);
        default: return this.reduce(op, ...args, names);
      }
    }

    call(name, args, names) {
      const values = args.map((a) => this.value(a, names));
      if (!(name in FUNCTIONS)) throw new Error(`no function ${name}`);
      return FUNCTIONS[name](...values);
    }

    read(t, subscripts, names) {
      const place = subscripts.map((s) => this.value(s, names));
      const at = t.offset(place);
      if (at < 0 && t.outside === "skip") this.skipped = true;
      const value = at < 0 ? 0 : t.data[at];
      if (this.reads) this.reads.push({ tensor: t.name, place, inside: at >= 0, value });
      return value;
    }

    reduce(kind, loops, body, guards, names) {
      const extents = loops.map(([, n]) => this.value(n, names));
      const inner = { ...names };
      let sum = 0, best = -Infinity, place = -1, position = 0;
      const visit = (depth) => {
        if (depth < loops.length) {
          for (let i = 0; i < extents[depth]; i++) {
            inner[loops[depth][0]] = i;
            visit(depth + 1);
          }
          return;
        }
        const here = position++;
        const outer = this.reads;
        this.reads = null; // what a guard reads is no factor of a term
        const holds = guards.every((g) => this.value(g, inner));
        this.reads = outer && [];
        if (holds) {
          this.skipped = false;
          const value = this.value(body, inner);
          if (!(this.skipped && kind !== "sum")) {
            if (this.listening) {
              this.listening.push({ at: loops.map(([i]) => [i, inner[i]]), reads: this.reads, value });
            }
            sum += value;
            if (place < 0 || value > best || (Number.isNaN(value) && !Number.isNaN(best))) {
              best = value;
              place = here;
            }
          }
        }
        this.reads = outer;
      };
      visit(0);
      return kind === "sum" ? sum : kind === "max" ? best : place;
    }

    // -- closed forms: named operators applied to tensors ---------------------------------------
    tensor(node, names) {
      if (typeof node === "string") return this.tensors[node];
      const key = JSON.stringify(node);
      return this.stages[key].tensor;
    }

    // All stages of a closed form, innermost first: {name, statement, inputs, tensor, equation}.
    compose(closed) {
      this.stages = {};
      const names = { ...this.names };
      for (const [name, e] of Object.entries(closed.where)) names[name] = this.value(e, names);
      this.stage(closed.form, closed.named, names);
      return Object.values(this.stages);
    }

    stage(node, named, names) {
      if (typeof node === "string") return this.tensors[node];
      const key = JSON.stringify(node);
      if (key in this.stages) return this.stages[key].tensor;
      const [, name, args] = node;
      const op = named[name];
      const count = Object.keys(op.arguments).length;
      const inputs = args.slice(0, count).map((a) => this.stage(a, named, names));
      const own = {};
      op.parameters.forEach((p, k) => { own[p] = this.value(args[count + k], names); });
      Object.values(op.arguments).forEach((pattern, k) => bind(pattern, inputs[k].shape, own, this));
      const shape = op.shape.map((n) => this.value(n, own));
      const t = new Tensor(`${name} ${Object.keys(this.stages).length + 1}`, shape);
      const within = Object.create(this);
      within.names = own;
      within.tensors = {};
      Object.keys(op.arguments).forEach((a, k) => {
        const view = Object.create(inputs[k]);
        view.outside = op.outside[a] || "forbidden";
        within.tensors[a] = view;
      });
      const equation = { target: t.name, indices: op.indices, body: op.value };
      for (let at = 0; at < t.data.length; at++) t.data[at] = within.element(equation, t.place(at));
      this.stages[key] = { name, statement: op.statement, inputs, tensor: t, equation, within, own };
      return t;
    }
  }

  // The sizes in a shape's pattern, such as ["N", ["*", "G", "CG"], "H"], from the shape.
  function bind(pattern, shape, own, machine) {
    pattern.forEach((p, k) => {
      if (typeof p === "string" && !(p in own)) own[p] = shape[k];
      else if (Array.isArray(p) && p[0] === "*" && !(p[2] in own)) {
        own[p[2]] = shape[k] / machine.value(p[1], own);
      }
    });
  }

  class Refusal extends Error {}

  // Small integers, the same at every visit: sums of their products are exact.
  function integers(seed) {
    let state = seed >>> 0;
    return (count) => Float64Array.from({ length: count }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state >>> 24) % 7 - 3;
    });
  }

  Object.assign(gradproof, { Machine, Tensor, Refusal, integers });
})();
