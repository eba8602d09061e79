// Runs the modules of a folder (its argument) one after another: prints, as JSON, what each printed and how it failed.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder] = process.argv.slice(2);
const write = process.stdout.write.bind(process.stdout);
const told = {};
for (const name of readdirSync(folder).filter((name) => name.endsWith(".mjs")).sort()) {
  let out = "";
  let error = "";
  process.stdout.write = (text) => {
    out += text;
    return true;
  };
  try {
    await import(pathToFileURL(join(folder, name)));
  } catch (failure) {
    error = String(failure?.stack ?? failure);
  }
  process.stdout.write = write;
  told[name.slice(0, -4)] = { out, error };
}
write(JSON.stringify(told));
