// A conversation with `treegraft serve` by Microsoft's own client library. Prints one line of JSON.
// Usage: node node_client.mjs stdio|pipe|socket COMMAND ARGUMENT...
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
const require = createRequire(process.env.NODE_CLIENT_FROM);
const rpc = require('vscode-languageserver-protocol/node');

const [kind, command, ...args] = process.argv.slice(2);
let reader, writer, child;
if (kind === 'stdio') {
  child = spawn(command, [...args, '--stdio'], { stdio: ['pipe', 'pipe', 'inherit'] });
  [reader, writer] = [new rpc.StreamMessageReader(child.stdout), new rpc.StreamMessageWriter(child.stdin)];
} else {
  const name = kind === 'pipe' ? rpc.generateRandomPipeName() : Number(process.env.NODE_CLIENT_PORT);
  const transport = await (kind === 'pipe' ? rpc.createClientPipeTransport(name) : rpc.createClientSocketTransport(name));
  child = spawn(command, [...args, `--${kind}=${name}`], { stdio: ['ignore', 'inherit', 'inherit'] });
  [reader, writer] = await transport.onConnected();
}
const connection = rpc.createProtocolConnection(reader, writer);
const progress = [];
connection.onRequest(rpc.WorkDoneProgressCreateRequest.type, () => null);
connection.onRequest(rpc.ConfigurationRequest.type, (params) => params.items.map(() => ({ debounceMs: 0 })));
connection.onNotification('$/progress', (params) => progress.push(params.value.kind));
connection.listen();
const uri = 'file:///code/a.py';
const found = await connection.sendRequest(rpc.InitializeRequest.type, {
  processId: process.pid, rootUri: null, workspaceFolders: null,
  capabilities: { textDocument: { inlineCompletion: {} }, workspace: { configuration: true }, window: { workDoneProgress: true } },
});
await connection.sendNotification(rpc.InitializedNotification.type, {});
const text = 'def f(values):\n    \n';
await connection.sendNotification(rpc.DidOpenTextDocumentNotification.type, {
  textDocument: { uri, languageId: 'python', version: 1, text },
});
const position = { line: 1, character: 4 };
const ask = (token) => connection.sendRequest(
  rpc.InlineCompletionRequest.type,
  { textDocument: { uri }, position, context: { triggerKind: rpc.InlineCompletionTriggerKind.Automatic } }, token);
const source = new rpc.CancellationTokenSource();
const cancelled = ask(source.token).then(() => 'answered', (error) => error.code);
source.cancel();
const result = await ask();
await connection.sendNotification(rpc.DidChangeTextDocumentNotification.type, {
  textDocument: { uri, version: 2 }, contentChanges: [{ range: { start: position, end: position }, text: 'return' }],
});
position.character = 10;
const rest = await ask();
const why = await connection.sendRequest('treegraft/why', null);
const answer = {
  inline: found.capabilities.inlineCompletionProvider, items: result.items, rest: rest.items, why: why.why, cancelled: await cancelled,
};
await connection.sendRequest(rpc.ShutdownRequest.type);
const exited = new Promise((resolve) => child.on('exit', resolve));
await connection.sendNotification(rpc.ExitNotification.type);
answer.exit = await exited;
console.log(JSON.stringify(answer));
process.exit(0);
