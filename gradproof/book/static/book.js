"use strict";
// Formulas are typeset when they come into view; one index lights up everywhere; light or dark.

(() => {
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

  document.addEventListener("DOMContentLoaded", () => { theme(); all(); light_up(); });
})();
