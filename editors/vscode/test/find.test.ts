import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { candidates, find, type Places, runVersion } from "../src/find";

const nowhere: Places = { path: "", interpreter: "", folders: [], searchPath: "" };

function folder(): string {
  return mkdtempSync(join(tmpdir(), "treegraft-find-"));
}

/** A program that answers --version with this line. */
function script(at: string, line: string, code = 0): string {
  mkdirSync(join(at, ".."), { recursive: true });
  writeFileSync(at, `#!/bin/sh\necho "${line}"\nexit ${code}\n`);
  chmodSync(at, 0o755);
  return at;
}

test("the workspace's environment comes before PATH, the active Python before both", async () => {
  const [work, bin, python] = [folder(), folder(), folder()];
  script(join(bin, "treegraft"), "treegraft 1.0.0");
  const places = { ...nowhere, folders: [work], searchPath: ["/nonexistent", bin].join(delimiter) };
  assert.deepEqual(await find(places), { command: { command: join(bin, "treegraft"), args: [] }, version: "1.0.0" });
  script(join(work, ".venv", "bin", "treegraft"), "treegraft 2.0.0");
  const inWork = await find(places);
  assert.ok("version" in inWork && inWork.version === "2.0.0");
  script(join(python, "treegraft"), "treegraft 3.0.0");
  const active = await find({ ...places, activePython: join(python, "python3") });
  assert.ok("version" in active && active.version === "3.0.0");
});

test("what a setting names is the only place looked at", async () => {
  const bin = folder();
  script(join(bin, "treegraft"), "treegraft 1.0.0");
  const found = await find({ ...nowhere, path: "/no/such/program", searchPath: bin });
  assert.ok("problem" in found && found.problem.includes("treegraft.path"));
  const python = await find({ ...nowhere, interpreter: "/no/such/python", searchPath: bin });
  assert.ok("problem" in python && python.problem.includes("treegraft.interpreter"));
  assert.deepEqual(candidates({ ...nowhere, interpreter: "/usr/bin/python3" }), [
    { command: "/usr/bin/python3", args: ["-m", "treegraft_daemon"] },
  ]);
});

test("a program of that name that is something else, or fails, is passed over", async () => {
  const [one, two, three] = [folder(), folder(), folder()];
  script(join(one, "treegraft"), "treegraftd version 7");
  script(join(two, "treegraft"), "treegraft 1.0.0", 3);
  script(join(three, "treegraft"), "treegraft 1.2.3");
  const found = await find({ ...nowhere, searchPath: [one, two, three].join(delimiter) });
  assert.ok("version" in found && found.version === "1.2.3");
});

test("where there is none, one sentence says what to do", async () => {
  const found = await find({ ...nowhere, searchPath: folder() }, async () => undefined);
  assert.ok("problem" in found && /^treegraft is not installed: run "pip install treegraft", or/.test(found.problem));
});

test("a folder or a file that cannot be run is no program", async () => {
  const [one, two] = [folder(), folder()];
  mkdirSync(join(one, "treegraft"));
  writeFileSync(join(two, "treegraft"), "");
  let asked = 0;
  await find({ ...nowhere, searchPath: [one, two].join(delimiter) }, async () => {
    asked += 1;
    return undefined;
  });
  assert.ok(asked <= 1, "at most the one in the home folder of who runs this test");
  assert.equal(await runVersion({ command: join(two, "treegraft"), args: [] }), undefined);
});
