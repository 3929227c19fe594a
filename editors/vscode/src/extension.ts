// treegraft in VS Code: finds the server, starts it, shows how it is. What is suggested, when, and why not, is the server's.

import { execFile } from "node:child_process";
import * as vscode from "vscode";
import {
  type ConfigurationParams,
  ExecuteCommandRequest,
  InlineCompletionRequest,
  LanguageClient,
  type LanguageClientOptions,
  State,
  TransportKind,
} from "vscode-languageclient/node";
import { type Command, find, INSTALL } from "./find";
import { explicit, megabytes, type Status, shown, statistics } from "./telling";

const SECTION = "treegraft";
/** Settings of the extension's own; all others are the server's. */
const OWN = new Set(["path", "interpreter", "trace.server"]);

/** Started with the editor, ended with it. */
export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const treegraft = new Treegraft(context);
  context.subscriptions.push(treegraft);
  await treegraft.start();
}

class Treegraft implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private command: Command | undefined;
  private status: Status = { kind: "Inactive", message: "not started", busy: false };
  private readonly item = vscode.window.createStatusBarItem("treegraft.status", vscode.StatusBarAlignment.Right, 100);
  private readonly log = vscode.window.createOutputChannel("treegraft", { log: true });
  private readonly names: string[];

  constructor(context: vscode.ExtensionContext) {
    const properties = context.extension.packageJSON.contributes.configuration.properties as Record<string, unknown>;
    this.names = Object.keys(properties)
      .map((name) => name.slice(SECTION.length + 1))
      .filter((name) => !OWN.has(name));
    this.item.name = "treegraft";
    this.item.command = "treegraft.menu";
    this.tell(this.status);
    this.item.show();
    const commands: Record<string, () => unknown> = {
      "treegraft.menu": () => this.menu(),
      "treegraft.toggleSuggestions": () => this.toggle(),
      "treegraft.explain": () => this.explain(),
      "treegraft.chooseModel": () => this.chooseModel(),
      "treegraft.showStatistics": () => this.showStatistics(),
      "treegraft.restart": () => this.restart(),
      "treegraft.showLog": () => this.log.show(),
      "treegraft.install": () => this.install(),
    };
    for (const [name, run] of Object.entries(commands)) {
      context.subscriptions.push(vscode.commands.registerCommand(name, () => this.guarded(run)));
    }
    context.subscriptions.push(
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration("treegraft.path") || change.affectsConfiguration("treegraft.interpreter")) {
          void this.restart();
        }
      }),
    );
  }

  /** Find the server and start it; where there is none, say so once, with what to do. */
  async start(): Promise<void> {
    const configuration = vscode.workspace.getConfiguration(SECTION);
    const found = await find({
      path: configuration.get("path", ""),
      interpreter: configuration.get("interpreter", ""),
      activePython: await activePython(),
      folders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
      searchPath: process.env.PATH ?? "",
    });
    if ("problem" in found) {
      this.log.error(found.problem);
      this.tell({ kind: "Error", message: found.problem, busy: false });
      void this.offerInstall(found.problem);
      return;
    }
    this.command = found.command;
    this.log.info(`treegraft ${found.version}: ${[found.command.command, ...found.command.args].join(" ")}`);
    this.tell({ kind: "Normal", message: "starting", busy: true });
    const client = new LanguageClient(
      SECTION,
      "treegraft",
      { command: found.command.command, args: found.command.args, transport: TransportKind.stdio },
      this.clientOptions(),
    );
    this.client = client;
    client.onNotification("didChangeStatus", (status: Status) => this.tell(status));
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Running) {
        this.tell({ kind: "Normal", message: "", busy: false });
      } else if (newState === State.Stopped && this.client === client) {
        this.tell({ kind: "Error", message: "the server has ended; see the log", busy: false });
      }
    });
    await client.start();
  }

  private clientOptions(): LanguageClientOptions {
    return {
      documentSelector: ["file", "untitled", "vscode-notebook-cell"].map((scheme) => ({ scheme })),
      outputChannel: this.log,
      initializationOptions: { [SECTION]: this.settings() },
      synchronize: { configurationSection: SECTION },
      middleware: {
        workspace: {
          configuration: (params: ConfigurationParams) => params.items.map(() => this.settings()),
        },
        provideInlineCompletionItems: async (document, position, context, token) => {
          const client = this.client;
          if (!client?.isRunning()) {
            return null;
          }
          const editor = vscode.window.visibleTextEditors.find((one) => one.document === document);
          const params = {
            ...client.code2ProtocolConverter.asInlineCompletionParams(document, position, context),
            formattingOptions: { tabSize: editor?.options.tabSize, insertSpaces: editor?.options.insertSpaces },
          };
          try {
            const result = await client.sendRequest(InlineCompletionRequest.type, params, token);
            return token.isCancellationRequested
              ? null
              : await client.protocol2CodeConverter.asInlineCompletionResult(result, token);
          } catch (problem) {
            return client.handleFailedRequest(InlineCompletionRequest.type, token, problem, null);
          }
        },
      },
    };
  }

  private settings(): Record<string, unknown> {
    const configuration = vscode.workspace.getConfiguration(SECTION);
    return explicit(this.names, (name) => configuration.inspect(name));
  }

  private tell(status: Status): void {
    this.status = status;
    const { text, tooltip, severity } = shown(status);
    this.item.text = text;
    this.item.tooltip = tooltip;
    const colour = {
      none: undefined,
      warning: "statusBarItem.warningBackground",
      error: "statusBarItem.errorBackground",
    };
    const name = colour[severity];
    this.item.backgroundColor = name ? new vscode.ThemeColor(name) : undefined;
  }

  private async menu(): Promise<void> {
    const running = this.client?.isRunning() ?? false;
    const off = this.status.kind === "Inactive";
    const entries: (vscode.QuickPickItem & { run?: () => unknown })[] = running
      ? [
          { label: off ? "$(play) Switch on" : "$(circle-slash) Switch off", run: () => this.toggle() },
          { label: "$(question) Why nothing?", run: () => this.explain() },
          { label: "$(server-process) Choose a model…", run: () => this.chooseModel() },
          { label: "$(graph) Statistics", run: () => this.showStatistics() },
        ]
      : [{ label: "$(cloud-download) Install treegraft", run: () => this.install() }];
    entries.push(
      { label: "$(debug-restart) Restart", run: () => this.restart() },
      { label: "$(output) Log", run: () => this.log.show() },
      {
        label: "$(gear) Settings",
        run: () => vscode.commands.executeCommand("workbench.action.openSettings", "@ext:treegraft.treegraft"),
      },
    );
    const chosen = await vscode.window.showQuickPick(entries, { placeHolder: shown(this.status).tooltip });
    await chosen?.run?.();
  }

  private async toggle(): Promise<void> {
    const result = await this.running().sendRequest(ExecuteCommandRequest.type, { command: "treegraft.toggle" });
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
    vscode.window.setStatusBarMessage(`treegraft: ${(result as { enabled: boolean }).enabled ? "on" : "off"}`, 3000);
  }

  private async explain(): Promise<void> {
    const { why } = await this.running().sendRequest<{ why: string }>("treegraft/why", {});
    void vscode.window.showInformationMessage(`treegraft: ${why}`);
  }

  private async showStatistics(): Promise<void> {
    const found = await this.running().sendRequest<Parameters<typeof statistics>[0]>("treegraft/stats", {});
    const document = await vscode.workspace.openTextDocument({ language: "markdown", content: statistics(found) });
    await vscode.window.showTextDocument(document, { preview: true });
  }

  private async chooseModel(): Promise<void> {
    const configuration = vscode.workspace.getConfiguration(SECTION);
    const used = configuration.get("model", "embedded");
    const models = await this.models();
    const folder = "$(folder) A folder with a model…";
    const download = "$(cloud-download) Download one from the hub…";
    const chosen = await vscode.window.showQuickPick(
      [
        ...models.map(({ name, bytes }) => ({
          label: name,
          description: megabytes(bytes) + (name === used ? ", in use" : ""),
        })),
        { label: folder, description: "" },
        { label: download, description: "" },
      ],
      { placeHolder: `The model in use: ${used}` },
    );
    let name = chosen?.label;
    if (name === folder) {
      const picked = await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: false });
      name = picked?.[0]?.fsPath;
    } else if (name === download) {
      name = await vscode.window.showInputBox({
        prompt: "Name of a model on huggingface.co",
        placeHolder: "Qwen/Qwen2.5-Coder-0.5B",
      });
      if (name) {
        const pulled = { command: "treegraft.pullModel", arguments: [name] };
        await this.running().sendRequest(ExecuteCommandRequest.type, pulled);
      }
    }
    if (name) {
      const values = configuration.inspect("model");
      const target =
        values?.workspaceValue === undefined ? vscode.ConfigurationTarget.Global : vscode.ConfigurationTarget.Workspace;
      await configuration.update("model", name, target);
    }
  }

  private models(): Promise<{ name: string; bytes: number }[]> {
    const { command, args } = this.command as Command;
    return new Promise((resolve, reject) => {
      execFile(command, [...args, "models", "--json"], { timeout: 30_000 }, (problem, output) => {
        problem === null ? resolve(JSON.parse(output)) : reject(problem);
      });
    });
  }

  /** The engine anew, and the server; also after it was installed or a setting names another one. */
  private async restart(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    this.tell({ kind: "Normal", message: "restarting", busy: true });
    if (client?.isRunning()) {
      await client.sendRequest(ExecuteCommandRequest.type, { command: "treegraft.restartEngine" }).catch((problem) => {
        this.log.warn(`the engine was not restarted: ${problem}`);
      });
    }
    await client?.dispose();
    await this.start();
  }

  private async offerInstall(problem: string): Promise<void> {
    const chosen = await vscode.window.showErrorMessage(problem, "Install", "Settings");
    if (chosen === "Install") {
      this.install();
    } else if (chosen === "Settings") {
      await vscode.commands.executeCommand("workbench.action.openSettings", "treegraft.path");
    }
  }

  /** The command is typed, not run: it is the person's machine. */
  private install(): void {
    const terminal = vscode.window.createTerminal("treegraft");
    terminal.show();
    terminal.sendText(INSTALL, false);
  }

  private running(): LanguageClient {
    if (!this.client?.isRunning()) {
      throw new Error(this.status.message || "the server does not run");
    }
    return this.client;
  }

  private async guarded(run: () => unknown): Promise<void> {
    try {
      await run();
    } catch (problem) {
      const sentence = problem instanceof Error ? problem.message : String(problem);
      this.log.error(sentence);
      void vscode.window.showErrorMessage(`treegraft: ${sentence}`);
    }
  }

  /** The server ends with the client; the engine stays for other editors. */
  dispose(): void {
    void this.client?.dispose();
    this.item.dispose();
    this.log.dispose();
  }
}

/** The Python of the editor's Python extension, where that is installed. */
async function activePython(): Promise<string | undefined> {
  const extension = vscode.extensions.getExtension("ms-python.python");
  if (!extension) {
    return undefined;
  }
  try {
    const api = await extension.activate();
    const path = api?.environments?.getActiveEnvironmentPath()?.path;
    return typeof path === "string" ? path : undefined;
  } catch {
    return undefined; // it is not ours to say what is wrong there
  }
}
