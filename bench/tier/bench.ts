/**
 * `npm run bench:tier`: what a KV tier brings and what it costs, with a real Redis: first tokens from it, over a Unix socket, TLS and slow
 * links; misses; writing behind; processes against threads on one machine; what each `--tier-write` writes. Prints tables for
 * docs/scaling.md. Needs redis-server, openssl and, for slow links, root.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { makeRandomModel } from "../../scripts/make-random-model.js";
import { planRandomModel } from "../../scripts/random-model.js";
import { benchCommand, type CommonOptions, machine, vectorsOption } from "../command.js";
import { randomGpt2 } from "../random-gpt2.js";
import { firstToken } from "./first-token.js";
import type { Bench, Table } from "./measured.js";
import { misses } from "./misses.js";
import { processes } from "./processes.js";
import { slowLink } from "./slow-link.js";
import { writePolicies } from "./write-policies.js";

const PARTS = {
  "first-token": firstToken,
  misses,
  "slow-link": slowLink,
  processes,
  "write-policies": async (bench: Bench) => writePolicies(bench, await shallowGpt2()),
} satisfies Record<string, (bench: Bench) => Promise<Table | null>>;
type Part = keyof typeof PARTS;

const options = benchCommand("bench:tier", "What a KV tier brings and what it costs, with a real Redis.", {
  rounds: 3,
  examples: ["--vectors 256 --only first-token,slow-link"],
})
  .addOption(vectorsOption("vectors of the kernels").default(128))
  .option(
    "--only <parts>",
    `of ${Object.keys(PARTS).join(", ")}, with commas between them`,
    partsOf,
    allParts(),
  )
  .parse()
  .opts<CommonOptions & { vectors: 128 | 256; only: readonly Part[] }>();

const bench: Bench = {
  ...{ vectors: options.vectors, rounds: options.rounds },
  model: options.model ?? (await randomGpt2()),
  threads: options.threads ?? availableParallelism(),
  say: (what) => process.stderr.write(`${what}\n`),
};
const tables: Table[] = [];
for (const part of options.only) {
  const table = await PARTS[part](bench);
  if (table !== null) tables.push(table);
}
const machineLine = `${machine()}, ${bench.threads} threads, vectors of ${bench.vectors} bits`;
process.stdout.write(
  options.json
    ? `${JSON.stringify({ machine: machineLine, tables })}\n`
    : `${tables.map(inMarkdown).join("\n")}\n${machineLine}\n`,
);

function inMarkdown({ title, head, rows, notes }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return `${[title, "", line(head), line(head.map(() => "---")), ...rows.map(line), "", ...notes].join("\n")}\n`;
}

function allParts(): Part[] {
  return Object.keys(PARTS) as Part[];
}

function partsOf(text: string): Part[] {
  const parts = text.split(",");
  const unknown = parts.find((part) => !(part in PARTS));
  if (unknown !== undefined) throw new Error(`There is no part ${unknown}.`);
  return parts as Part[];
}

/** A GPT-2 with two layers: it computes fast, and for each byte of K and V as long as one with twelve. */
async function shallowGpt2(): Promise<string> {
  const folder = fileURLToPath(new URL("../../.cache/gpt2-shallow", import.meta.url));
  if (!existsSync(folder)) await makeRandomModel(folder, planRandomModel({ layers: 2, vocab: 8192 }));
  return folder;
}
