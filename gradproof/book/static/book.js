"use strict";
// Formulas are typeset when they come into view; one index lights up everywhere; light or dark.

(() => {
  const MOST = 30; // that a search shows
  const TRUST = (context) => context.command === "\\htmlClass";

  function typeset(e) {
    const tex = e.textContent;
    e.dataset.tex = tex;
    katex.render(tex, e, {
      displayMode: e.classList.contains("display"), throwOnError: false, strict: false, trust: TRUST,
    });
  }

  function all() {
    const waiting = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((x) => x.isIntersecting)) {
        waiting.unobserve(entry.target);
        typeset(entry.target);
      }
    }, { rootMargin: "600px" });
    for (const e of document.querySelectorAll(".math")) waiting.observe(e);
    window.addEventListener("beforeprint", () => {
      for (const e of document.querySelectorAll(".math:not([data-tex])")) typeset(e);
    });
  }

  function light_up() {
    const number = (e) => [...(e.closest?.(".ix")?.classList || [])].find((c) => /^ix\d/.test(c));
    const light = (css) => {
      for (const e of document.querySelectorAll(".ix.lit")) e.classList.remove("lit");
      if (css) for (const e of document.querySelectorAll(`.${css}`)) e.classList.add("lit");
    };
    document.addEventListener("pointerover", (event) => light(number(event.target)));
  }

  function theme() {
    const button = document.getElementById("theme");
    const set = (name) => {
      document.documentElement.dataset.theme = name;
      button.setAttribute("aria-label", name === "dark" ? "light colours" : "dark colours");
      button.textContent = name === "dark" ? "☀" : "☾";
    };
    const kept = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
    set(kept || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
    button.addEventListener("click", () => {
      const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      set(next);
      try { localStorage.setItem("theme", next); } catch { /* a page from a file may keep nothing */ }
    });
  }

  // The cards of the operators' page that hold the words.
  function filter() {
    const box = document.getElementById("filter");
    if (!box) return;
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase();
      for (const e of document.querySelectorAll("[data-name]")) {
        e.hidden = !e.dataset.name.includes(words);
      }
    });
  }

  // Pages first, those that begin with the words before others; "/" goes to the box.
  function search() {
    const box = document.getElementById("search");
    const list = document.getElementById("found");
    const close = () => { list.hidden = true; };
    const rank = ([text, where], words) => {
      const at = text.toLowerCase().indexOf(words);
      return at < 0 ? Infinity : (at === 0 ? 0 : 2) + (where.includes("#") ? 1 : 0) + text.length / 1000;
    };
    box.addEventListener("input", () => {
      const words = box.value.trim().toLowerCase();
      const ranked = SEARCH.map((row) => [rank(row, words), row]).filter(([r]) => r < Infinity);
      ranked.sort(([a], [b]) => a - b);
      list.replaceChildren(...ranked.slice(0, MOST).map(([, [text, where, home]]) => {
        const item = document.createElement("li");
        const link = document.createElement("a");
        const small = document.createElement("small");
        link.href = document.body.dataset.root + where;
        small.textContent = home;
        link.append(text, small);
        item.append(link);
        return item;
      }));
      list.hidden = !words || !ranked.length;
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input, textarea, select");
      if (event.key === "/" && !typing) {
        event.preventDefault();
        box.focus();
      } else if (event.key === "Escape") {
        close();
      } else if (["ArrowDown", "ArrowUp", "Enter"].includes(event.key)) {
        move(event, box, [...list.querySelectorAll("a")]);
      }
    });
    document.addEventListener("click", (event) => { if (!event.target.closest(".find")) close(); });
  }

  function move(event, box, links) {
    const at = links.indexOf(document.activeElement);
    if (at < 0 && document.activeElement !== box) return;
    if (event.key === "Enter") {
      if (at < 0) links[0]?.click();
      return;
    }
    event.preventDefault();
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    (links[next] || box).focus();
  }

  // The navigation is a drawer on a phone; what is on the page stands open where there is room.
  function panels() {
    const menu = document.getElementById("menu");
    const site = document.getElementById("site");
    menu.addEventListener("click", () => {
      menu.setAttribute("aria-expanded", String(site.classList.toggle("open")));
    });
    const here = site.querySelector("[aria-current]");
    if (here) site.scrollTop = here.offsetTop - site.clientHeight / 2;
    const contents = document.querySelector(".contents");
    const wide = matchMedia("(min-width: 84rem)");
    if (!contents) return;
    contents.open = wide.matches;
    wide.addEventListener("change", () => { contents.open = wide.matches; });
  }

  document.addEventListener("DOMContentLoaded", () => {
    theme(); panels(); all(); light_up(); search(); filter();
  });
})();
