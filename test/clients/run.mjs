/** Tries every client, under this package's Node: `run.mjs FOLDER [--write] [NAME…]`, with names only those clients. */
import { parseArgs } from "node:util";
import { agentsChat, agentsResponses } from "./clients/agents.mjs";
import { aiSdkAnthropic, aiSdkChat, aiSdkCompatible, aiSdkResponses } from "./clients/ai-sdk.mjs";
import { anthropic } from "./clients/anthropic.mjs";
import { langchainChat, langchainResponses } from "./clients/langchain.mjs";
import { langchainOllama } from "./clients/langchain-ollama.mjs";
import { ollama } from "./clients/ollama.mjs";
import { openaiChat, openaiResponses } from "./clients/openai.mjs";
import { FEATURES, outcomesOf } from "./features.mjs";
import { startServers } from "./servers.mjs";
import { isInDocs, tableOf, writeIntoDocs } from "./table.mjs";

/** The columns of the table. */
const CLIENTS = [
  ...[openaiResponses, openaiChat, agentsResponses, agentsChat],
  ...[aiSdkResponses, aiSdkChat, aiSdkCompatible, aiSdkAnthropic],
  ...[langchainResponses, langchainChat],
  ...[ollama, langchainOllama, anthropic],
];

const { values, positionals } = parseArgs({
  options: { write: { type: "boolean" } },
  allowPositionals: true,
});
const [folder, ...names] = positionals;
const servers = await startServers(folder);
const results = [];
let failures = 0;
for (const make of CLIENTS) {
  const client = make(servers);
  if (names.length > 0 && !names.some((name) => client.name.includes(name))) continue;
  const begun = performance.now();
  const outcomes = await outcomesOf(client);
  process.stdout.write(`${client.name}: ${((performance.now() - begun) / 1000).toFixed(1)} s\n`);
  for (const [feature, outcome] of Object.entries(outcomes)) {
    if (!(outcome instanceof Error)) continue;
    failures += 1;
    process.stderr.write(`${client.name}: ${FEATURES[feature]}: ${outcome.stack}\n`);
  }
  results.push([client, outcomes]);
}
await servers.close();
if (failures === 0 && names.length === 0) {
  const table = tableOf(results);
  if (values.write) writeIntoDocs(table);
  else if (!isInDocs(table)) {
    failures += 1;
    process.stderr.write(
      `docs/api.md has another table; npm run test:clients -- --write writes it:\n${table}\n`,
    );
  }
}
process.exitCode = failures === 0 ? 0 : 1;
