// What the server says of itself, as a person reads it. Knows no VS Code, to be tested.

/** didChangeStatus, as the server sends it. */
export interface Status {
  kind: "Normal" | "Warning" | "Error" | "Inactive";
  message: string;
  busy: boolean;
}

export interface Shown {
  text: string;
  tooltip: string;
  severity: "none" | "warning" | "error";
}

const ICONS = { Normal: "type-hierarchy", Warning: "type-hierarchy", Error: "error", Inactive: "circle-slash" };

/** The item of the status bar. */
export function shown(status: Status): Shown {
  const icon = status.busy ? "loading~spin" : ICONS[status.kind];
  const state = status.message || (status.kind === "Normal" ? "ready" : status.kind.toLowerCase());
  return {
    text: `$(${icon}) treegraft`,
    tooltip: `treegraft: ${state}`,
    severity: status.kind === "Error" ? "error" : status.kind === "Warning" ? "warning" : "none",
  };
}

type Numbers = Record<string, number>;
interface Counted {
  counters?: Numbers;
  latenciesMs?: Record<string, Record<string, number>>;
}

/** treegraft/stats as a page of Markdown. */
export function statistics(found: Counted & { engine?: Counted | null }): string {
  const parts = ["# treegraft: statistics", "", "Counted on this machine, for nobody else.", ""];
  parts.push(...tables("This window", found));
  if (found.engine) {
    parts.push(...tables("The engine, which all editors share", found.engine));
  }
  return `${parts.join("\n")}\n`;
}

function tables(title: string, counted: Counted): string[] {
  const lines = [`## ${title}`, ""];
  const latencies = Object.entries(counted.latenciesMs ?? {});
  if (latencies.length > 0) {
    const columns = Object.keys(latencies[0][1]);
    lines.push(`| milliseconds | ${columns.join(" | ")} |`, `|---|${columns.map(() => "---:|").join("")}`);
    for (const [stage, numbers] of latencies) {
      lines.push(`| ${stage} | ${columns.map((column) => round(numbers[column])).join(" | ")} |`);
    }
    lines.push("");
  }
  lines.push("| what | how often |", "|---|---:|");
  for (const [name, number] of Object.entries(counted.counters ?? {}).sort(([one], [other]) =>
    one < other ? -1 : 1,
  )) {
    lines.push(`| ${name.replaceAll("_", " ")} | ${number} |`);
  }
  return [...lines, ""];
}

function round(number: number | undefined): string {
  return number === undefined ? "" : String(Math.round(number * 10) / 10);
}

/** Settings that somebody has set: defaults of the editor must not hide the environment or the configuration file. */
export function explicit(names: string[], inspect: (name: string) => Inspected | undefined): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const name of names) {
    const values = inspect(name);
    const value = values?.workspaceFolderValue ?? values?.workspaceValue ?? values?.globalValue;
    if (value !== undefined) {
      found[name] = value;
    }
  }
  return found;
}

export interface Inspected {
  globalValue?: unknown;
  workspaceValue?: unknown;
  workspaceFolderValue?: unknown;
}

/** A model of `treegraft models --json` for a list to choose from. */
export function megabytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}
