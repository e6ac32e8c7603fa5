// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Replaces the content of the page by what the server sends, while the page is seen. A browser opens only six
// connections to a host over HTTP/1.1, so pages in the background must not keep theirs.
"use strict";

const content = document.getElementById("live");
if (content) {
  const news = document.getElementById("news");
  const button = document.getElementById("pause");
  let version = content.dataset.live;
  let stream = null;
  let paused = false;

  const replace = (html) => {
    const focused = content.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...content.querySelectorAll("details[open]")].map((details) => details.id);
    content.innerHTML = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const say = (text) => {
    if (news.textContent !== text) news.textContent = text; // equal texts would be announced again
  };

  const connect = () => {
    const url = new URL(location.href);
    url.hash = "";
    url.searchParams.set("live", version);
    url.searchParams.set("since", content.dataset.since);
    stream = new EventSource(url);
    stream.addEventListener("open", () => say(""));
    stream.addEventListener("error", () => say("Not connected: is kubectl postern ui still running?"));
    stream.addEventListener("news", (event) => say(event.data));
    stream.addEventListener("content", (event) => {
      version = event.lastEventId;
      replace(event.data);
    });
  };

  const follow = () => {
    const wanted = !paused && !document.hidden;
    if (wanted && !stream) connect();
    if (!wanted && stream) {
      stream.close();
      stream = null;
    }
  };

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume updates" : "Pause updates";
    say(paused ? "Paused" : "");
    follow();
  });
  document.addEventListener("visibilitychange", follow);
  follow();
}
