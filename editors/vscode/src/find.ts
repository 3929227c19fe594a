// Where treegraft is: a setting, the Python environment in use, the workspace's, PATH. Knows no VS Code, to be tested.

import { execFile } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";

/** A program and the arguments that come before treegraft's own. */
export interface Command {
  command: string;
  args: string[];
}

export interface Places {
  /** Setting treegraft.path; "" if it is not set. */
  path: string;
  /** Setting treegraft.interpreter, a Python; "" if it is not set. */
  interpreter: string;
  /** The Python that the editor's Python extension uses, if there is one. */
  activePython?: string;
  /** The folders of the workspace. */
  folders: string[];
  /** PATH of the editor. */
  searchPath: string;
}

export type Found = { command: Command; version: string } | { problem: string };

export const INSTALL = "pip install treegraft";

const windows = process.platform === "win32";
const program = windows ? "treegraft.exe" : "treegraft";
const scripts = windows ? "Scripts" : "bin";

/** All places to look at, best first. What a setting names is the only one: nobody wants another one by surprise. */
export function candidates(places: Places): Command[] {
  if (places.path) {
    return [{ command: expand(places.path), args: [] }];
  }
  if (places.interpreter) {
    return [{ command: expand(places.interpreter), args: ["-m", "treegraft_daemon"] }];
  }
  const files: string[] = [];
  if (places.activePython) {
    files.push(join(dirname(places.activePython), program));
  }
  for (const folder of places.folders) {
    files.push(join(folder, ".venv", scripts, program), join(folder, "venv", scripts, program));
  }
  for (const folder of places.searchPath.split(delimiter)) {
    if (folder) {
      files.push(join(folder, program));
    }
  }
  files.push(join(homedir(), ".local", "bin", program)); // pipx and pip --user, where the editor's PATH is shorter
  return [...new Set(files)].map((command) => ({ command, args: [] }));
}

/** The first candidate that runs, with its version; or one sentence that says what to do. */
export async function find(places: Places, run: typeof runVersion = runVersion): Promise<Found> {
  const named = Boolean(places.path || places.interpreter);
  for (const command of candidates(places)) {
    if (!named && !isProgram(command.command)) {
      continue;
    }
    const version = await run(command);
    if (version !== undefined) {
      return { command, version };
    }
    if (named) {
      const setting = places.path ? "treegraft.path" : "treegraft.interpreter";
      const what = [command.command, ...command.args].join(" ");
      return { problem: `The setting ${setting} does not lead to treegraft: "${what} --version" does not work.` };
    }
  }
  return { problem: `treegraft is not installed: run "${INSTALL}", or name it in the setting treegraft.path.` };
}

/** What `treegraft --version` says; undefined if that is not treegraft or does not run. */
export function runVersion(command: Command): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(command.command, [...command.args, "--version"], { timeout: 20_000 }, (problem, output) => {
      const found = /^treegraft (\S+)/.exec(output.toString());
      resolve(problem === null && found ? found[1] : undefined);
    });
  });
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function expand(path: string): string {
  return path.startsWith("~/") ? join(homedir(), path.slice(2)) : path;
}
