/**
 * Measures lastrow, node-llama-cpp and transformers.js side by side: each engine and type in a process of its own that
 * stays warm, all of them in every round, one request at a time. Every round has prompts of its own and starts with
 * another engine; the first one only warms up. All types of the GPT-2 take turns; of each GGUF file only the engines do,
 * so that no more than one is in memory.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, totalmem } from "node:os";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  type Dtype,
  type EngineName,
  GPT2_DTYPES,
  ggufFileOf,
  hasType,
  isGgufModel,
  isGpt2Dtype,
  type Vectors,
} from "./engines/engine.js";
import { EngineProcess } from "./engines/engine-process.js";
import { busyMs } from "./machine-load.js";
import { GGUF_MODELS } from "./paths.js";
import { randomPrompt } from "./prompts.js";
import { formatReport } from "./report.js";
import {
  compareWithPeers,
  type EngineResult,
  type Sample,
  type Scenario,
  summarise,
  toSample,
} from "./statistics.js";

const ENGINES: readonly EngineName[] = ["lastrow", "node-llama-cpp", "@huggingface/transformers"];
/** Between two requests, so that the threads of the engine that was last have gone to sleep. */
const PAUSE_MS = 200;
/** Median share of the processors that others may use before the figures are called doubtful. */
const MAX_OTHER_LOAD = 0.03;

const { values } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "7" },
    vectors: { type: "string", default: "256" },
    dtypes: { type: "string" },
    gguf: { type: "boolean", default: false },
    requests: { type: "string", default: "512+64,16+256" },
    output: { type: "string", default: "results/side-by-side.json" },
  },
});
const threads = wholeNumber("threads");
const rounds = wholeNumber("rounds");
const vectors = vectorsOf(values.vectors);
const chosen = values.dtypes?.split(",") ?? (values.gguf ? GGUF_MODELS : ["f32", "int8"]);
const dtypes = chosen.map((dtype): Dtype => {
  if (isGpt2Dtype(dtype) || isGgufModel(dtype)) return dtype;
  throw new Error(`--dtypes takes ${[...GPT2_DTYPES, ...GGUF_MODELS].join(", ")}, not ${dtype}.`);
});
const missing = dtypes.map(ggufFileOf).find((path) => !existsSync(path));
if (missing !== undefined) {
  throw new Error(`${missing} is not there; \`npm run models -- --large\` makes all files.`);
}

const scenarios = values.requests.split(",").map((request): Scenario => {
  const [promptTokens, newTokens] = (/^([1-9]\d*)\+([1-9]\d*)$/.exec(request)?.slice(1) ?? []).map(Number);
  if (promptTokens !== undefined && newTokens !== undefined && newTokens > 1)
    return { promptTokens, newTokens };
  throw new Error(
    `--requests takes prompt and new tokens, at least 2 of these, such as 512+64, not ${request}.`,
  );
});

interface Entry {
  readonly name: EngineName;
  readonly dtype: Dtype;
  readonly process: EngineProcess;
  readonly samples: Map<Scenario, Sample[]>;
  peakRssBytes: number;
}

const gpt2 = dtypes.filter(isGpt2Dtype);
const groups: readonly (readonly Dtype[])[] = [
  ...(gpt2.length > 0 ? [gpt2] : []),
  ...dtypes.filter(isGgufModel).map((model) => [model]),
];
const entries: Entry[] = [];
for (const group of groups) entries.push(...(await measureInTurns(group)));

const results = scenarios.flatMap((scenario) =>
  entries.map(({ name, dtype, samples, peakRssBytes }): EngineResult => {
    const list = samples.get(scenario)!;
    return { engine: name, dtype, scenario, summary: summarise(list), samples: list, peakRssBytes };
  }),
);
const ratios = compareWithPeers(results);
const output = resolve(values.output);
await mkdir(dirname(output), { recursive: true });
const engines = entries.map(({ name, dtype, process: { description, loadMs } }) => ({
  engine: name,
  dtype,
  description,
  loadMs,
}));
const versions = await readVersions();
const report = { machine: describeMachine(), versions, threads, rounds, engines, results, ratios };
await writeFile(output, `${JSON.stringify(report, null, 2)}\n`);
process.stdout.write(`\n${formatReport(results, ratios)}\n${output}\n`);
if (results.some(({ summary }) => summary.otherLoad.median > MAX_OTHER_LOAD)) {
  progress("The machine was busy with other work: measure again when it is quiet.");
}

/** All engines that have these types, in turns; their processes are ended. */
async function measureInTurns(types: readonly Dtype[]): Promise<Entry[]> {
  const turns: Entry[] = [];
  for (const dtype of types) {
    for (const name of ENGINES) {
      if (!hasType(name, dtype)) continue;
      const process = await EngineProcess.start(name, { dtype, threads, vectors });
      progress(`${name} ${dtype}: ${process.description}, loaded in ${process.loadMs.toFixed(0)} ms`);
      turns.push({ name, dtype, process, samples: new Map(scenarios.map((s) => [s, []])), peakRssBytes: 0 });
    }
  }
  for (let round = 0; round <= rounds; round++) {
    for (const [s, scenario] of scenarios.entries()) {
      const prompt = randomPrompt(scenario.promptTokens, round * scenarios.length + s);
      for (let turn = 0; turn < turns.length; turn++) {
        const entry = turns[(turn + round) % turns.length]!;
        const sample = await measure(entry, scenario, prompt);
        if (round > 0) entry.samples.get(scenario)!.push(sample);
      }
    }
    progress(round === 0 ? "warmed up" : `round ${round} of ${rounds}`);
  }
  await Promise.all(turns.map((entry) => entry.process.stop()));
  return turns;
}

/** One request of one engine, while nothing else of ours runs. */
async function measure(entry: Entry, scenario: Scenario, prompt: readonly number[]): Promise<Sample> {
  await sleep(PAUSE_MS);
  const start = performance.now();
  const busyBefore = busyMs();
  const measured = await entry.process.generate(prompt, scenario.newTokens);
  const available = (performance.now() - start) * availableParallelism();
  const otherLoad = Math.max(0, busyMs() - busyBefore - measured.cpuMs) / available;
  entry.peakRssBytes = measured.peakRssBytes;
  return toSample(scenario, measured, otherLoad);
}

function wholeNumber(option: "threads" | "rounds"): number {
  const value = Number(values[option]);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`--${option} is a whole number from 1, not ${values[option]}.`);
}

function vectorsOf(text: string): Vectors {
  if (text === "auto") return text;
  if (text === "128" || text === "256") return text === "128" ? 128 : 256;
  throw new Error(`--vectors takes auto, 128 or 256, not ${text}.`);
}

function describeMachine() {
  return {
    processor: cpus()[0]?.model.trim() ?? "unknown",
    processors: availableParallelism(),
    memoryBytes: totalmem(),
    node: process.version,
    date: new Date().toISOString(),
  };
}

async function readVersions(): Promise<Record<string, string>> {
  const paths = {
    lastrow: "../../package.json",
    "node-llama-cpp": "node_modules/node-llama-cpp/package.json",
    "@huggingface/transformers": "node_modules/@huggingface/transformers/package.json",
    "onnxruntime-node": "node_modules/onnxruntime-node/package.json",
  };
  const read = async ([name, path]: [string, string]) => {
    const text = await readFile(fileURLToPath(new URL(path, import.meta.url)), "utf8");
    return [name, (JSON.parse(text) as { version: string }).version] as const;
  };
  return Object.fromEntries(await Promise.all(Object.entries(paths).map(read)));
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}
