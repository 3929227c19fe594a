import assert from "node:assert/strict";
import { test } from "node:test";
import { explicit, megabytes, type Status, shown, statistics } from "../src/telling";

test("the status bar shows every state", () => {
  const cases: [Status, string, string, string][] = [
    [{ kind: "Normal", message: "", busy: false }, "$(type-hierarchy) treegraft", "treegraft: ready", "none"],
    [{ kind: "Normal", message: "loading", busy: true }, "$(loading~spin) treegraft", "treegraft: loading", "none"],
    [{ kind: "Warning", message: "late", busy: false }, "$(type-hierarchy) treegraft", "treegraft: late", "warning"],
    [{ kind: "Error", message: "no engine", busy: false }, "$(error) treegraft", "treegraft: no engine", "error"],
    [{ kind: "Inactive", message: "", busy: false }, "$(circle-slash) treegraft", "treegraft: inactive", "none"],
  ];
  for (const [status, text, tooltip, severity] of cases) {
    assert.deepEqual(shown(status), { text, tooltip, severity });
  }
});

test("only what somebody set goes to the server, the nearest place first", () => {
  const values: Record<string, object> = {
    model: { defaultValue: "embedded", globalValue: "a", workspaceValue: "b" },
    maxTokens: { defaultValue: 48 },
    enabled: { defaultValue: true, workspaceFolderValue: false, globalValue: true },
  };
  assert.deepEqual(
    explicit(["model", "maxTokens", "enabled", "unknown"], (name) => values[name]),
    { model: "b", enabled: false },
  );
});

test("statistics are tables of what was counted", () => {
  const page = statistics({
    counters: { model_asked: 7, answered_from_memory: 3 },
    latenciesMs: { whole: { p50: 20.04, p95: 61 } },
    engine: { counters: { requests: 7 } },
  });
  assert.ok(page.includes("| milliseconds | p50 | p95 |\n|---|---:|---:|\n| whole | 20 | 61 |"));
  assert.ok(page.indexOf("answered from memory | 3") < page.indexOf("model asked | 7"));
  assert.ok(page.includes("## The engine, which all editors share"));
  assert.ok(!statistics({ engine: null }).includes("The engine"));
});

test("sizes are read by people", () => {
  assert.equal(megabytes(28_600_000), "29 MB");
  assert.equal(megabytes(3_090_000_000), "3.1 GB");
});
