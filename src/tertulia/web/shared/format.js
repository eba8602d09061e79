// Figures, as people read them.

const whole = new Intl.NumberFormat("en");

export const number = (value) => whole.format(value);

/** Milliseconds, or seconds from one on. */
export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** Dollars, with as many digits as a small sum needs. */
export function money(value) {
  if (value === 0) return "$0";
  return `$${value >= 0.01 ? value.toFixed(2) : value.toPrecision(2)}`;
}

/** Tokens: 8,192 as 8k, 131,072 as 128k. */
export function context(tokens) {
  return tokens >= 1024 ? `${whole.format(Math.round(tokens / 1024))}k` : String(tokens);
}

/** Bytes, in the units of memory. */
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (value >= 1024 && step < units.length - 1) {
    value /= 1024;
    step += 1;
  }
  return `${step && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[step]}`;
}

/** How long ago, of seconds. */
export function age(seconds) {
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    const count = Math.floor(seconds / size);
    if (count) return `${count} ${unit}${count > 1 ? "s" : ""} ago`;
  }
  return "just now";
}

/** A part of an address as it was meant; as it stands, where it can't be read. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** `text` as one word of a shell. */
export function word(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
