// Writes into package.json what has its place elsewhere: the settings (docs/settings.schema.json) and the version.
// `node scripts/settings.mjs` writes; with --check it only says whether something is stale.

import { readFileSync, writeFileSync } from "node:fs";

const at = (path) => new URL(path, import.meta.url);
const text = readFileSync(at("../package.json"), "utf8");
const manifest = JSON.parse(text);
const schema = JSON.parse(readFileSync(at("../../../docs/settings.schema.json"), "utf8"));
const source = readFileSync(at("../../../daemon/treegraft_daemon/__init__.py"), "utf8");

const own = {
  "treegraft.path": {
    type: "string",
    default: "",
    scope: "machine-overridable",
    description:
      "The treegraft program; empty: looked for in the Python environment in use, in the workspace and on PATH.",
  },
  "treegraft.interpreter": {
    type: "string",
    default: "",
    scope: "machine-overridable",
    description: "A Python that treegraft is installed for, instead of a path to the program.",
  },
  "treegraft.trace.server": {
    type: "string",
    enum: ["off", "messages", "verbose"],
    default: "off",
    description: "Log what is said between editor and server; verbose: source text, too.",
  },
};
const servers = Object.fromEntries(
  Object.entries(schema.properties).map(([name, value]) => [`treegraft.${name}`, { ...value, scope: "resource" }]),
);
manifest.version = /__version__ = "([^"]+)"/.exec(source)[1];
manifest.contributes.configuration = { title: "treegraft", properties: { ...own, ...servers } };

const made = `${JSON.stringify(manifest, null, 2)}\n`;
if (process.argv.includes("--check")) {
  process.exitCode = made === text ? 0 : 1;
  if (made !== text) {
    console.error("package.json is stale: npm run settings");
  }
} else {
  writeFileSync(at("../package.json"), made);
}
