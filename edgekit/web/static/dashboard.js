// New runs appear while the page is open. Without this script the page is the same, as of when it was loaded.
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
    if (event.data === newest) return;
    newest = event.data;
    if (busy()) offer();
    else refresh().catch(offer);
  });
})();
