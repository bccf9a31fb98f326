"use strict";
// The site's search box, the filter of its operators, and its navigation.

(() => {
  const MOST = 30; // that a search shows

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

  document.addEventListener("DOMContentLoaded", () => { panels(); search(); filter(); });
})();
