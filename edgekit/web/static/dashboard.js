// New runs, and what is being measured, appear while the page is open. Without this script the page is the same, as of when it was loaded.
"use strict";
(() => {
  const main = document.getElementById("content");
  const status = document.getElementById("status");
  let newest = main.dataset.newest;

  const chosen = () =>
    [...main.querySelectorAll("input[name=run]:checked")].map((box) => box.value);

  const busy = () => {
    const focused = document.activeElement;
    const typing = focused && focused.matches("input:not([type=checkbox]), select, textarea");
    return typing || main.contains(focused) && focused !== main || chosen().length > 0;
  };

  const offer = () => {
    status.textContent = "There are new runs. ";
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "Show them";
    status.append(link);
  };

  const refresh = async () => {
    const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
    if (!answer.ok) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = found.getElementById("live");
    const old = document.getElementById("live");
    if (!fresh || !old || busy()) return offer();
    old.replaceWith(document.adoptNode(fresh));
    status.textContent = "New runs were added to this page.";
  };

  const events = new EventSource("/events");
  events.addEventListener("newest", (event) => {
    const found = JSON.parse(event.data);
    if (found === newest) return;
    newest = found;
    if (busy()) offer();
    else refresh().catch(offer);
  });

  // What is being measured: on the page of runs only, and not under the finger of one who scrolls it with the keys.
  events.addEventListener("under-way", async (event) => {
    const old = document.getElementById("under-way");
    if (!old || old.dataset.now === JSON.parse(event.data) || old.contains(document.activeElement)) return;
    const answer = await fetch("/under-way" + location.search, { credentials: "same-origin", redirect: "error" });
    if (!answer.ok) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = found.getElementById("under-way");
    if (fresh && old.isConnected) old.replaceWith(document.adoptNode(fresh));
  });
})();
