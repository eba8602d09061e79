// Read by node before a command's own code, where `tertulia run` starts it: node's fetch heeds no HTTPS_PROXY (before
// version 24, and from there on only if told to), so what it would ask Hugging Face it asks the server at TERTULIA_RUN.
"use strict";

const HOSTS = new Set(["router.huggingface.co", "huggingface.co"]);
const server = process.env.TERTULIA_RUN;
const real = globalThis.fetch;

function moved(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null; // fetch says what is wrong with it
  }
  if (url.protocol !== "https:" || url.port || !HOSTS.has(url.hostname)) return null;
  const there = new URL(server);
  there.pathname = url.pathname;
  there.search = url.search;
  return there;
}

if (server && real) {
  globalThis.fetch = function fetch(input, init) {
    const asked = typeof input === "object" && input !== null && "url" in input;
    const there = moved(asked ? input.url : input);
    if (there === null) return real(input, init);
    return real(asked ? new Request(there, input) : there, init);
  };
}
