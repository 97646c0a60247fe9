"use strict";
// The server holds each question until the page is another one, or for some seconds; so there is no clock here, and a
// page that nobody looks at learns of the end, too.
const main = document.querySelector("main");
const link = document.getElementById("link");
const said = document.getElementById("said");
const FOCUSABLE = "a, button, [tabindex]";
const PATIENCE = 30000, PAUSE = 2000, BETWEEN_WORDS = 20000;
let seen = null, spoken = "", spokenAt = -Infinity;

async function follow() {
  for (;;) {
    try {
      const headers = seen === null ? {} : {"If-None-Match": seen};
      const answer = await fetch(location.pathname, {headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE)});
      if (answer.status === 200) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        seen = answer.headers.get("ETag");
        show(page);
      } else if (answer.status !== 304) throw new Error(answer.statusText);
      tell("");
      if (main.dataset.state === "done") return;
    } catch {
      tell(main.dataset.state === "stopped"
        ? "The run was stopped. This page goes on when it does."
        : "The connection is lost: the run was stopped, or has ended. Trying again …");
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

function show(page) {
  const fresh = page.querySelector("main");
  document.title = page.title;
  main.dataset.state = fresh.dataset.state;
  const ids = (whole) => [...whole.children].map((one) => one.id).join();
  if (ids(main) !== ids(fresh)) main.replaceChildren(...fresh.children);
  else for (const one of [...fresh.children]) exchange(document.getElementById(one.id), one);
  speak(fresh.dataset.said);
}

// Who reads by keyboard stays where they are.
function exchange(old, fresh) {
  if (old.outerHTML === fresh.outerHTML) return;
  const at = [...old.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  const scrolled = [...old.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  old.replaceWith(fresh);
  fresh.querySelectorAll(".scroll").forEach((one, k) => { one.scrollLeft = scrolled[k] ?? 0; });
  if (at >= 0) fresh.querySelectorAll(FOCUSABLE)[at]?.focus({preventScroll: true});
}

function tell(text) {
  if (link.textContent !== text) link.textContent = text;
}

// A screen reader is told of a new leader or of the end, and not all the time.
function speak(text) {
  if (text === spoken || (main.dataset.state !== "done" && performance.now() - spokenAt < BETWEEN_WORDS)) return;
  said.textContent = spoken = text;
  spokenAt = performance.now();
}

follow();
